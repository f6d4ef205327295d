"""Surrogates: the decomposition over positions, and enumeration in plain probabilities."""

import numpy as np
import pytest

from ltro_jax.laboratories import games as theory

CLAMPS = (0.3, 1.0, 2.0, np.inf)


def size(cases):
    """Scale of advantages for absolute tolerances, `[G, 1]`."""
    return np.abs(cases.old.advantage).max(axis=(1, 2))[:, None]


def test_unclamped_surrogates_sum_to_the_advantage_of_the_new_policy(cases):
    """E_{a~π'}[A(s, a)] = Σ_m E_π[R_{1:m−1} (r_m − 1) A]."""
    new_joint = np.exp(cases.factors.log_joint + cases.factors.log_factor[:, -1])
    expected = np.sum(new_joint * cases.old.advantage, -1)
    error = np.abs(cases.clamped.surrogate[-1].sum(axis=1) - expected)
    assert np.all(error <= 1e-9 * size(cases))


def test_the_first_position_is_scaled_by_a_clamp_below_one(cases):
    """R = 1 at the first position: L_1 at c is min(1, c) L_1."""
    raw = cases.clamped.surrogate[-1][:, 0]
    for place, factor_clip in enumerate(CLAMPS):
        error = np.abs(cases.clamped.surrogate[place][:, 0] - min(1.0, factor_clip) * raw)
        assert np.all(error <= 1e-9 * size(cases))


def test_the_first_position_knows_no_clamp_from_one_up(cases):
    """So one agent alone knows none at all."""
    np.testing.assert_array_equal(cases.clamped.surrogate[1:, :, 0], cases.clamped.surrogate[1:2, :, 0].repeat(3, 0))
    np.testing.assert_array_equal(cases.clamped.penalty[1:, :, 0], 0.0)


def test_agents_that_stay_gain_nothing(cases):
    stayed = np.all(cases.factors.log_ratio == 0.0, axis=-1)
    assert np.any(stayed) or cases.order.shape[1] == 1
    assert np.all(cases.clamped.surrogate[:, stayed] == 0.0)


@pytest.mark.parametrize("factor_clip", CLAMPS)
def test_against_plain_probabilities(x64, factor_clip):
    """Quotients, a minimum and a mean, in NumPy."""
    rng = np.random.default_rng(1)
    old, new = (rng.dirichlet(np.ones(3), size=(3, 4)) for _ in range(2))
    advantage, states = rng.normal(size=(4, 27)), rng.dirichlet(np.ones(4))
    order = np.array([1, 2, 0])
    factors = theory.sequential_factors(np.log(new), np.log(old), order)
    own = theory.joint_actions(3, 3)
    joint = np.prod([old[i][:, own[i]] for i in range(3)], axis=0)
    factor = np.ones_like(joint)
    expected, second, variance = [], [], []
    for agent in order:
        ratio = new[agent][:, own[agent]] / old[agent][:, own[agent]]
        weighted = np.minimum(factor, factor_clip) * advantage
        expected.append(np.sum(joint * weighted * (ratio - 1), -1))
        second.append(np.sum(joint * weighted**2, -1))
        mass = states[:, None] * joint
        variance.append(np.sum(mass * (weighted - np.sum(mass * weighted)) ** 2))
        factor = factor * ratio
    np.testing.assert_allclose(theory.surrogates(factors, advantage, factor_clip), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(theory.weighted_second_moment(factors, advantage, factor_clip), second, rtol=1e-9)
    np.testing.assert_allclose(theory.weighted_variance(factors, advantage, states, factor_clip), variance, rtol=1e-9)
