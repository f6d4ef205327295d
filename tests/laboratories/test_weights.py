"""Bias and variance of the weights of the factor: by hand, against Monte Carlo, and the rules that coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.factor_rules import FACTOR_RULES
from ltro_jax.config.studies import TheorySettings
from ltro_jax.laboratories import games as theory
from ltro_jax.laboratories.games.problems import moments_by_rule, random_problems
from ltro_jax.ops import self_normalised_factor

AGENTS, STATES, ACTIONS = 3, 2, 2
NUM_BATCHES, BATCH = 2000, 200
WEIGHTS = TheorySettings(factor_epsilons=(0.3,), factor_powers=(0.5,)).weights


@pytest.fixture
def change(problems):
    """Factors of a change of policy with E[R²] of about 2 at the last position, and the old policy's values."""
    game, logits = problems(3, (AGENTS, STATES, ACTIONS))
    new_logits = logits + 1.2 * np.random.default_rng(1).normal(size=logits.shape)
    log_policy = theory.log_policies(logits)
    factors = theory.sequential_factors(theory.log_policies(new_logits), log_policy, np.array([2, 0, 1]))
    return factors, theory.evaluate(game, jnp.exp(log_policy))


def moments(change, rule, parameter=np.nan):
    factors, old = change
    return theory.rule_moments(factors, old.advantage, old.state_distribution, rule, parameter)


def test_the_rules_are_those_of_training():
    assert set(theory.FACTOR_WEIGHTS) == set(FACTOR_RULES) == {rule for rule, _ in WEIGHTS.values()}
    assert WEIGHTS["clamp, c = ∞"] == ("clamp", np.inf) and WEIGHTS["two_sided, ε' = 0.3"] == ("two_sided", 0.3)


def test_moments_by_hand(x64):
    """A coin of each of three agents, fair before the update; heads has probability 3/4, then 5/8 after it.

    The ratios are 3/2, 1/2 and 5/4, 3/4. A = +1 if the first two coins agree and −1 otherwise, whatever the third is.
    At position 3 the pairs HH, HT, TH, TT have R = 15/8, 9/8, 5/8, 3/8 and A = 1, −1, −1, 1: E[R·A] = 1/8.
    """
    old = np.log(np.full((3, 1, 2), 0.5))
    new = np.log(np.array([[[3 / 4, 1 / 4]], [[5 / 8, 3 / 8]], [[0.5, 0.5]]]))
    factors = theory.sequential_factors(new, old, np.arange(3))
    advantage = np.repeat([1.0, -1.0, -1.0, 1.0], 2)[None]
    expected = {  # weights of HH, HT, TH, TT
        ("clamp", 1.0): (1, 1, 5 / 8, 3 / 8),
        ("clamp", np.inf): (15 / 8, 9 / 8, 5 / 8, 3 / 8),
        ("per_agent_clamp", 1.0): (1, 3 / 4, 1 / 2, 3 / 8),
        ("two_sided", 0.5): (3 / 2, 9 / 8, 5 / 8, 1 / 2),
        ("power", 0.5): np.sqrt([15 / 8, 9 / 8, 5 / 8, 3 / 8]),
        ("none", np.nan): (1, 1, 1, 1),
    }
    for (rule, parameter), weights in expected.items():
        measured = theory.rule_moments(factors, advantage, np.ones(1), rule, parameter)
        weighted = np.array(weights) * [1, -1, -1, 1]
        np.testing.assert_allclose(measured.bias[2], weighted.mean() - 1 / 8, atol=1e-12, err_msg=rule)
        np.testing.assert_allclose(measured.variance[2], weighted.var(), rtol=1e-12, err_msg=rule)
        np.testing.assert_allclose((measured.bias[0], measured.variance[0]), (0.0, 1.0), atol=1e-12)
    measured = theory.rule_moments(factors, advantage, np.ones(1), "self_normalised", np.nan)
    error = np.array([15 / 8, 9 / 8, 5 / 8, 3 / 8]) * (np.array([1, -1, -1, 1]) - 1 / 8)
    np.testing.assert_allclose(measured.bias[2], 0.0, atol=1e-12)
    np.testing.assert_allclose(measured.variance[2], np.mean(error**2), rtol=1e-12)


def test_rules_that_coincide(change):
    """Without a limit a rule is R, with power 0 it is 1, and a single preceding agent has a single clamp."""
    factors, old = change
    raw = moments(change, "clamp", np.inf)
    np.testing.assert_allclose(raw.bias, 0.0, atol=1e-14)
    variance = theory.weighted_variance(factors, old.advantage, old.state_distribution, np.inf)
    np.testing.assert_allclose(raw.variance, variance, rtol=1e-12)
    same = {"per_agent_clamp": np.inf, "two_sided": np.inf, "power": 1.0}
    for rule, parameter in same.items():
        np.testing.assert_allclose(moments(change, rule, parameter), raw, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(moments(change, "power", 0.0), moments(change, "none"), rtol=1e-12, atol=1e-14)
    clamp, per_agent = (np.array(moments(change, rule, 1.0)) for rule in ("clamp", "per_agent_clamp"))
    np.testing.assert_allclose(per_agent[:, :2], clamp[:, :2], rtol=1e-12, atol=1e-14)
    assert np.all(np.abs(per_agent[:, 2] - clamp[:, 2]) > 1e-4)


def test_means_of_batches_agree(change):
    """Expectation, variance and squared error of 2000 batch means of 200 fresh samples each, for every rule."""
    factors, old = change
    states = old.state_distribution
    state, action = theory.draw(jax.random.key(0), states, factors.log_joint, NUM_BATCHES * BATCH)
    advantage = old.advantage[state, action].reshape(NUM_BATCHES, BATCH)
    log_factor = factors.log_factor[-2][state, action].reshape(NUM_BATCHES, BATCH)
    target = theory.rule_moments(factors, old.advantage, states, "none", np.nan).bias[-1] * -1.0
    second = float(theory.second_moment(factors)[-2] @ states)
    assert (1.4 < second < 2.5, abs(target) > 0.05) == (True, True), (second, target)
    for label, (rule, parameter) in WEIGHTS.items():
        exact = moments(change, rule, parameter)
        bias, variance = float(exact.bias[-1]), float(exact.variance[-1])
        if rule == "self_normalised":
            weight = jax.vmap(self_normalised_factor)(log_factor, jnp.ones_like(log_factor, bool))
        else:
            weights = theory.FACTOR_WEIGHTS[rule](factors, parameter)[-1]
            weight = weights[state, action].reshape(NUM_BATCHES, BATCH)
        means = np.mean(np.asarray(weight * advantage), axis=1)
        error = np.sqrt(variance / (NUM_BATCHES * BATCH))
        order = variance / BATCH if rule == "self_normalised" else 0.0  # its bias of order 1/n
        assert abs(means.mean() - target - bias) < 4 * error + order, label
        np.testing.assert_allclose(BATCH * means.var(), variance, rtol=4 * np.sqrt(2 / NUM_BATCHES), err_msg=label)
        squares = np.square(means - target)
        mse = bias**2 + variance / BATCH
        assert abs(squares.mean() - mse) < 4 * squares.std() / np.sqrt(NUM_BATCHES) + order**2, label


def test_a_batch_of_games_is_its_single_games(x64):
    batch = random_problems(0, 3, AGENTS, STATES, ACTIONS, 0.9)
    hypers = theory.GameHypers(factor_clip=np.inf, kl_threshold=0.1)
    rules, parameters = ("clamp", "self_normalised", "two_sided"), np.array([1.0, np.nan, 0.2])
    measured = moments_by_rule(batch, hypers, parameters, rules=rules)
    assert measured.bias.shape == measured.variance.shape == (3, 3, AGENTS)
    game, logits, key = jax.tree.map(lambda leaf: leaf[1], batch)
    new_logits, info = theory.update(key, game, logits, hypers)
    log_policy = theory.log_policies(logits)
    old = theory.evaluate(game, jnp.exp(log_policy))
    factors = theory.sequential_factors(theory.log_policies(new_logits), log_policy, info.order)
    unit = float(theory.max_advantage(old.advantage))
    for index, (rule, parameter) in enumerate(zip(rules, parameters, strict=True)):
        bias, variance = moments((factors, old), rule, parameter)
        np.testing.assert_allclose(measured.bias[index, 1] * unit, bias, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(measured.variance[index, 1] * unit**2, variance, rtol=1e-9)


def test_float32_is_rejected(change):
    factors, old = change
    with pytest.raises(TypeError, match="advantage is float32, but the games need float64"):
        theory.rule_moments(factors, jnp.float32(old.advantage), old.state_distribution, "none", np.nan)
