"""Fresh samples agree with enumeration while the factor is tame, and cannot once it is not."""

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax import theory

NUM_SAMPLES = 200_000


def sampled(scale):
    """Enumerated E[R²] and Var(R A), their sample estimates, and the standard error of the first."""
    shape = (4, 3, 3)
    game_key, old_key, new_key, draw_key = jax.random.split(jax.random.key(0), 4)
    game = theory.random_game(game_key, *shape, 0.9)
    logits = jax.random.normal(old_key, shape)
    log_policy, log_new = (theory.log_policies(x) for x in (logits, logits + scale * jax.random.normal(new_key, shape)))
    old = theory.evaluate(game, jnp.exp(log_policy))
    order = jnp.arange(4)
    factors = theory.sequential_factors(log_new, log_policy, order)
    state, action = theory.draw(draw_key, old.state_distribution, factors.log_joint, NUM_SAMPLES)
    square = np.exp(2 * factors.log_factor[4][state, action])
    weighted = np.exp(factors.log_factor[3][state, action]) * old.advantage[state, action]
    return {
        "moment": float(theory.second_moment(factors)[4] @ old.state_distribution),
        "sampled moment": square.mean(),
        "moment error": square.std() / np.sqrt(NUM_SAMPLES),
        "variance": float(theory.weighted_variance(factors, old.advantage, old.state_distribution, np.inf)[3]),
        "sampled variance": float(weighted.var()),
        "frequency": np.bincount(state, minlength=3) / NUM_SAMPLES - old.state_distribution,
    }


def test_agreement_where_the_second_moment_is_small(x64):
    found = sampled(0.3)
    assert 1.2 < found["moment"] < 2.0
    assert abs(found["sampled moment"] - found["moment"]) < 4 * found["moment error"]
    np.testing.assert_allclose(found["sampled variance"], found["variance"], rtol=0.05)
    np.testing.assert_allclose(found["frequency"], 0.0, atol=0.005)


def test_the_estimator_fails_where_the_second_moment_is_large(x64):
    """Far policies: the mean of R² sees a fraction of its expectation, and its own error bar does not warn."""
    found = sampled(4.0)
    assert found["moment"] > 1e4
    assert found["sampled moment"] + 4 * found["moment error"] < 0.5 * found["moment"]
