"""Fresh samples agree with enumeration while the factor is tame, and cannot once it is not."""

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.laboratories import games as theory

NUM_SAMPLES = 200_000


def sampled_factors(factors, state_distribution, position):
    """log R before `position`, at states and actions drawn afresh; also these states and actions."""
    drawn = theory.draw(jax.random.key(0), state_distribution, factors.log_joint, NUM_SAMPLES)
    state, action = (np.asarray(x) for x in drawn)
    return np.exp(np.asarray(factors.log_factor)[position][state, action]), state, action


def test_frequencies(x64):
    """Pairs come as often as d(s) π(a|s) says, and what has probability 0 never."""
    states = np.array([0.5, 0.0, 0.3, 0.2])
    policy = np.random.default_rng(0).dirichlet(np.ones(4), 4)
    policy[3] = [0.0, 1.0, 0.0, 0.0]
    with np.errstate(divide="ignore"):
        state, action = theory.draw(jax.random.key(1), states, np.log(policy), NUM_SAMPLES)
    count = np.bincount(np.asarray(4 * state + action), minlength=16).reshape(4, 4)
    expected = states[:, None] * policy
    assert np.all(count[expected == 0] == 0)
    assert np.all(np.abs(count / NUM_SAMPLES - expected) <= 5 * np.sqrt(expected / NUM_SAMPLES))


def test_agreement_where_the_second_moment_is_small(problems):
    """E_s Π(1 + χ²) below 2: the mean of R² and Var(R A) of fresh samples are those of enumeration."""
    game, logits = problems(0, (4, 3, 3))
    new_logits = logits + 0.6 * np.random.default_rng(0).normal(size=logits.shape)
    log_policy, log_new = theory.log_policies(logits), theory.log_policies(new_logits)
    old = theory.evaluate(game, jnp.exp(log_policy))
    factors = theory.sequential_factors(log_new, log_policy, np.arange(4))
    moment = theory.second_moment(factors)[4] @ old.state_distribution
    assert 1.2 < moment < 2.0
    factor, _, _ = sampled_factors(factors, old.state_distribution, 4)
    assert abs(np.mean(factor**2) - moment) < 4 * np.std(factor**2) / np.sqrt(NUM_SAMPLES)

    factor, state, action = sampled_factors(factors, old.state_distribution, 3)
    weighted = factor * np.asarray(old.advantage)[state, action]
    variance = theory.weighted_variance(factors, old.advantage, old.state_distribution, np.inf)[3]
    np.testing.assert_allclose(np.var(weighted), variance, rtol=0.05)


def test_the_estimator_fails_where_the_second_moment_is_large(x64):
    """Four agents reverse (0.98, 0.02): E[R²] = 48.02⁴, nearly all of it where no sample falls (0.02⁴), and the
    estimate's own error bar does not warn."""
    old = np.log(np.broadcast_to([0.98, 0.02], (4, 1, 2)))
    factors = theory.sequential_factors(old[..., ::-1], old, np.arange(4))
    moment = theory.second_moment(factors)[4, 0]
    np.testing.assert_allclose(moment, (0.98**2 / 0.02 + 0.02**2 / 0.98) ** 4, rtol=1e-9)
    factor, _, _ = sampled_factors(factors, np.ones(1), 4)
    error = np.std(factor**2) / np.sqrt(NUM_SAMPLES)
    assert np.mean(factor**2) + 10 * error < 0.01 * moment
