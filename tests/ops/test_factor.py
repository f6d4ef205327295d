"""Weights of the factor: values by hand, reductions, masks, and finite numbers everywhere."""

import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.factor_rules import FACTOR_RULES
from ltro_jax.config import Hypers
from ltro_jax.ops import (
    MAX_RATIO,
    clamped_factor,
    clamped_term,
    powered_factor,
    self_normalised_factor,
    two_sided_factor,
)
from ltro_jax.types import AgentBatch

FACTORS = np.array([0.25, 0.5, 1.0, 2.0, 4.0], np.float32)
LOGS = jnp.log(FACTORS)
ALL = jnp.ones(5, bool)
EXTREME = jnp.array([-jnp.inf, -1e4, 0.0, 200.0, 1e4])


def batch_of(mask):
    nothing = dict.fromkeys(("observation", "action", "action_mask", "log_prob", "advantage"))
    return AgentBatch(**nothing, active_mask=mask)  # type: ignore[arg-type]


def weight_of(rule, log_product, mask=ALL, **settings):
    return np.array(FACTOR_RULES[rule].weight(log_product, batch_of(mask), Hypers().replace(**settings)))


def test_clamp_by_hand():
    np.testing.assert_allclose(clamped_factor(LOGS, 1.0), [0.25, 0.5, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(clamped_factor(LOGS, jnp.inf), FACTORS, rtol=1e-6)
    np.testing.assert_allclose(weight_of("clamp", LOGS, factor_clip=3.0), [0.25, 0.5, 1, 2, 3], rtol=1e-6)


def test_two_sided_by_hand():
    np.testing.assert_allclose(two_sided_factor(LOGS, 0.5), [0.5, 0.5, 1, 1.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(weight_of("two_sided", LOGS, factor_eps=0.1), [0.9, 0.9, 1, 1.1, 1.1], rtol=1e-6)


def test_a_vanishing_interval_around_1_is_weight_1():
    np.testing.assert_array_equal(two_sided_factor(EXTREME, 0.0), np.ones(5))
    np.testing.assert_allclose(two_sided_factor(EXTREME, 1e-6), np.ones(5), atol=2e-6)


def test_power_by_hand():
    np.testing.assert_allclose(powered_factor(LOGS, 0.5), np.sqrt(FACTORS), rtol=1e-6)
    np.testing.assert_allclose(weight_of("power", LOGS, factor_power=1.0), FACTORS, rtol=1e-6)
    np.testing.assert_array_equal(weight_of("power", LOGS, factor_power=0.0), np.ones(5))


def test_none_is_weight_1():
    np.testing.assert_array_equal(weight_of("none", EXTREME), np.ones(5))


def test_self_normalised_by_hand():
    """The mean of 0.25, 0.5 and 4 is 19/12."""
    mask = jnp.array([True, True, False, False, True])
    expected = np.array([0.25, 0.5, 0, 0, 4]) * 12 / 19
    np.testing.assert_allclose(self_normalised_factor(LOGS, mask), expected, rtol=1e-6)
    np.testing.assert_allclose(weight_of("self_normalised", LOGS, mask), expected, rtol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e3])
def test_the_mean_of_self_normalised_weights_is_1_and_no_scale_matters(shift):
    weight = np.array(self_normalised_factor(LOGS + shift, ALL))
    np.testing.assert_allclose(weight.mean(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(weight, FACTORS / FACTORS.mean(), rtol=1e-3)


def test_self_normalised_without_valid_samples_is_0():
    np.testing.assert_array_equal(self_normalised_factor(EXTREME, jnp.zeros(5, bool)), np.zeros(5))
    np.testing.assert_array_equal(self_normalised_factor(jnp.full(5, -jnp.inf), jnp.zeros(5, bool)), np.zeros(5))


def test_self_normalised_ignores_what_masked_samples_hold():
    mask = jnp.array([True, True, True, True, False])
    expected = self_normalised_factor(LOGS, mask)
    for masked in (jnp.inf, -jnp.inf, 1e4):
        np.testing.assert_array_equal(self_normalised_factor(LOGS.at[4].set(masked), mask), expected)


def test_no_weight_overflows():
    for rule in FACTOR_RULES:
        weight = weight_of(rule, EXTREME, factor_clip=np.inf, factor_power=2.0)
        assert np.all(np.isfinite(weight)) and np.all(weight >= 0), rule
        assert weight.max() <= MAX_RATIO * 1.001, rule


def test_only_the_per_agent_clamp_changes_the_product():
    assert [name for name, rule in FACTOR_RULES.items() if rule.term is not None] == ["per_agent_clamp"]
    assert {name: sorted(rule.reads) for name, rule in FACTOR_RULES.items() if rule.reads} == {
        "clamp": ["factor_clip"],
        "per_agent_clamp": ["factor_clip"],
        "two_sided": ["factor_eps"],
        "power": ["factor_power"],
    }


def test_per_agent_clamp_over_two_agents():
    """Π min(r_j, 1), which the clamp of the product is not: ratios 4 and 1/4 give 1/4, and not 1."""
    first, second = np.array([4.0, 4.0, 0.5], np.float32), np.array([0.25, 2.0, 0.5], np.float32)
    rule, hypers = FACTOR_RULES["per_agent_clamp"], Hypers(factor_clip=1.0)
    assert rule.term is not None
    log_product = rule.term(jnp.log(first), hypers) + rule.term(jnp.log(second), hypers)
    weight = rule.weight(log_product, batch_of(jnp.ones(3, bool)), hypers)
    np.testing.assert_allclose(weight, [0.25, 1.0, 0.25], rtol=1e-6)
    np.testing.assert_allclose(clamped_factor(jnp.log(first * second), 1.0), [1.0, 1.0, 0.25], rtol=1e-6)


def test_the_term_of_the_per_agent_clamp():
    np.testing.assert_allclose(jnp.exp(clamped_term(LOGS, 1.5)), [0.25, 0.5, 1, 1.5, 1.5], rtol=1e-6)
    np.testing.assert_array_equal(clamped_term(LOGS, jnp.inf), LOGS)
