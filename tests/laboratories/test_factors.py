"""The factor's moments: identities over random games, and plain quotients of probabilities."""

import numpy as np
import pytest

from ltro_jax.laboratories import games as theory

RAW, ONE = -1, 1  # places of c = ∞ and c = 1 among the clamps 0.3, 1, 2, ∞
CLAMPS = np.array([0.3, 1.0, 2.0, np.inf])


def position_major(per_agent, order):
    """`[G, N, …]` by agent → by position."""
    return np.take_along_axis(per_agent, order.reshape(*order.shape, *(1,) * (per_agent.ndim - 2)), axis=1)


def prefix_marginals(log_policy, order, length):
    """Probabilities of the first `length` agents in the order, `[G, S, A^length]`."""
    ordered = np.exp(position_major(log_policy, order))
    joint = np.ones((*ordered.shape[:1], ordered.shape[2], 1))
    for m in range(length):
        joint = (joint[..., None] * ordered[:, m, :, None, :]).reshape(*joint.shape[:2], -1)
    return joint


def prefix_distance(cases):
    """TV of the prefixes alone, from their own marginals; `[G, N+1, S]`."""
    num_agents = cases.order.shape[1]
    pairs = [
        [prefix_marginals(x, cases.order, length) for x in (cases.log_new_policy, cases.log_policy)]
        for length in range(num_agents + 1)
    ]
    return np.stack([0.5 * np.abs(new - old).sum(-1) for new, old in pairs], axis=1)


def test_the_factor_has_mean_one(cases):
    np.testing.assert_allclose(cases.clamped.mean_factor[RAW], 1.0, rtol=1e-9)


def test_second_moments_multiply(cases):
    """E[R²] = Π (1 + χ²_k)."""
    product = np.cumprod(1.0 + position_major(cases.chi_square, cases.order), axis=1)
    np.testing.assert_allclose(cases.clamped.second_factor[RAW][:, 1:], product, rtol=1e-9)
    np.testing.assert_allclose(cases.clamped.second_factor[RAW][:, 0], 1.0, rtol=1e-12)


def test_excess_over_one_is_total_variation(cases):
    """E[(R − 1)⁺] = TV and E[min(R, 1)] = 1 − TV, TV of the prefixes' own marginals."""
    distance = prefix_distance(cases)
    np.testing.assert_allclose(cases.clamped.excess[ONE], distance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(cases.clamped.mean_factor[ONE], 1.0 - distance, rtol=1e-9, atol=1e-12)


def test_the_clamp_splits_the_mean(cases):
    """E[min(R, c)] + E[(R − c)⁺] = E[R] and E[min(R, c)²] ≤ c E[min(R, c)], for every clamp."""
    np.testing.assert_allclose(cases.clamped.mean_factor + cases.clamped.excess, 1.0, rtol=1e-9)
    assert np.all(cases.clamped.excess >= 0) and np.all(cases.clamped.excess[RAW] == 0)
    limit = CLAMPS[:, None, None, None] * cases.clamped.mean_factor
    assert np.all(cases.clamped.second_factor <= limit * (1 + 1e-9))


def test_total_variations_of_positions_and_prefixes(cases):
    agent = 0.5 * np.abs(np.exp(cases.log_new_policy) - np.exp(cases.log_policy)).sum(-1)
    np.testing.assert_allclose(cases.total_variation, agent, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(cases.position_distance, position_major(agent, cases.order), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(cases.prefix_distance, prefix_distance(cases), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_against_quotients(x64, order):
    """Three agents, two states, one joint action after another."""
    rng = np.random.default_rng(0)
    old, new = (rng.dirichlet(np.ones(2), size=(3, 2)) for _ in range(2))
    factors = theory.sequential_factors(np.log(new), np.log(old), np.array(order))
    for s in range(2):
        for joint, actions in enumerate(theory.joint_actions(3, 2).T):
            probability, factor = 1.0, 1.0
            for position, agent in enumerate(order):
                ratio = new[agent, s, actions[agent]] / old[agent, s, actions[agent]]
                np.testing.assert_allclose(np.exp(factors.log_factor[position, s, joint]), factor, rtol=1e-12)
                np.testing.assert_allclose(np.exp(factors.log_ratio[position, s, joint]), ratio, rtol=1e-12)
                probability, factor = probability * old[agent, s, actions[agent]], factor * ratio
            np.testing.assert_allclose(np.exp(factors.log_factor[3, s, joint]), factor, rtol=1e-12)
            np.testing.assert_allclose(np.exp(factors.log_joint[s, joint]), probability, rtol=1e-12)


def test_a_second_moment_beyond_float64_is_infinite_and_its_neighbours_are_not(x64):
    """Two agents exchange a near-certain action for one of probability e^−600: R² alone is e^2400."""
    old = np.broadcast_to(np.array([0.0, -600.0]), (2, 1, 2))
    factors = theory.sequential_factors(old[..., ::-1], old, np.arange(2))
    assert np.isinf(theory.second_moment(factors)[2, 0])
    np.testing.assert_allclose(theory.mean_clamped_factor(factors), 1.0, rtol=1e-12)
    np.testing.assert_allclose(theory.excess(factors, 1.0)[:, 0], [0.0, 1.0, 1.0], rtol=1e-12)
    advantage = np.array([[0.0, 0.0, 0.0, 1e-3]])
    assert np.isinf(theory.weighted_variance(factors, advantage, np.ones(1), np.inf)).tolist() == [False, False]
    assert np.all(np.isfinite(theory.surrogates(factors, advantage, np.inf)))
