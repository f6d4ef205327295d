"""Generalised advantages: hand arithmetic, reductions, what ends an episode and how."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportCallIssue=false

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from ltro_jax.ops import generalised_advantage

MODES = ("bootstrap", "mask")


def flags(*values):
    return jnp.array(values, bool)


def random_rollout(num_steps=9, batch=(4,), seed=0):
    generator = np.random.default_rng(seed)
    reward, value, next_value = generator.normal(size=(3, num_steps, *batch)).astype(np.float32)
    terminated, truncated = generator.random((2, num_steps, *batch)) < 0.25
    return reward, value, next_value, terminated, truncated


def test_by_hand():
    """γ = λ = 1/2: every number is exact. Step 1 terminates."""
    advantage = generalised_advantage(
        reward=jnp.array([1.0, 2.0, 4.0]),
        value=jnp.array([1.0, 0.0, 2.0]),
        next_value=jnp.array([0.0, 100.0, 6.0]),
        terminated=flags(0, 1, 0),
        truncated=flags(0, 0, 0),
        gamma=0.5,
        gae_lambda=0.5,
    )
    # δ = 1 + 0 − 1, 2 + 0 − 0, 4 + 3 − 2
    np.testing.assert_array_equal(advantage, [0 + 0.25 * 2, 2, 5])


def test_truncation_by_hand():
    """Step 1 hits the time limit: its value bootstraps, but nothing from step 2 propagates back over it."""
    steps = dict(
        reward=jnp.array([1.0, 2.0, 4.0]),
        value=jnp.array([1.0, 0.0, 2.0]),
        next_value=jnp.array([0.0, 8.0, 6.0]),
        terminated=flags(0, 0, 0),
        truncated=flags(0, 1, 0),
        gamma=0.5,
        gae_lambda=0.5,
    )
    np.testing.assert_array_equal(generalised_advantage(**steps), [0 + 0.25 * 6, 2 + 4, 5])
    np.testing.assert_array_equal(generalised_advantage(**steps, truncation="mask"), [0, 0, 5])


def test_both_flags_at_once_mean_the_end():
    """Terminated on the last allowed step: no value after it; the reference masks the step for its time limit."""
    steps = (jnp.ones(1), jnp.zeros(1), jnp.full(1, 9.0), flags(1), flags(1), 0.5, 0.5)
    np.testing.assert_array_equal(generalised_advantage(*steps), [1.0])
    np.testing.assert_array_equal(generalised_advantage(*steps, "mask"), [0.0])


def test_modes_agree_without_time_limits():
    reward, value, next_value, terminated, _ = random_rollout()
    steps = (reward, value, next_value, terminated, np.zeros_like(terminated), 0.9, 0.8)
    np.testing.assert_array_equal(generalised_advantage(*steps), generalised_advantage(*steps, "mask"))


def test_lambda_zero_is_the_one_step_error():
    reward, value, next_value, terminated, truncated = steps = random_rollout()
    advantage = generalised_advantage(*steps, 0.9, 0.0)
    expected = reward + 0.9 * np.where(terminated, 0, next_value) - value
    np.testing.assert_allclose(advantage, expected, rtol=1e-6, atol=1e-6)
    masked = generalised_advantage(*steps, 0.9, 0.0, "mask")
    expected = np.where(truncated, 0, reward + 0.9 * np.where(terminated, 0, next_value) - value)
    np.testing.assert_allclose(masked, expected, rtol=1e-6, atol=1e-6)


def test_lambda_one_is_the_discounted_return_less_the_value():
    reward, value, _, terminated, truncated = random_rollout()
    next_value = np.concatenate([value[1:], np.full_like(value[:1], 0.7)])
    next_value = np.where(truncated, 3.0, next_value).astype(np.float32)  # the state before the reset
    advantage = generalised_advantage(reward, value, next_value, terminated, truncated, 0.9, 1.0)
    following = next_value[-1].astype(np.float64)
    for t in reversed(range(len(reward))):
        following = np.where(truncated[t], next_value[t], following)
        following = reward[t] + 0.9 * np.where(terminated[t], 0, following)
        np.testing.assert_allclose(advantage[t] + value[t], following, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_crosses_the_end_of_an_episode(mode):
    reward, value, next_value, terminated, truncated = random_rollout(batch=())
    terminated[:], truncated[:] = False, False
    (terminated if mode == "bootstrap" else truncated)[4] = True
    before = generalised_advantage(reward, value, next_value, terminated, truncated, 0.9, 0.9, mode)
    reward[5:] += 10
    value[5:] -= 3
    after = generalised_advantage(reward, value, next_value, terminated, truncated, 0.9, 0.9, mode)
    np.testing.assert_array_equal(before[:5], after[:5])
    assert np.all(before[5:] != after[5:])


@pytest.mark.parametrize("mode", MODES)
def test_next_value_is_not_read_where_it_cannot_matter(mode):
    reward, value, next_value, terminated, truncated = random_rollout()
    ended = terminated if mode == "bootstrap" else terminated | truncated
    poisoned = np.where(ended, np.nan, next_value)
    steps = lambda following: (reward, value, following, terminated, truncated, 0.9, 0.9, mode)
    clean = generalised_advantage(*steps(next_value))
    np.testing.assert_array_equal(generalised_advantage(*steps(poisoned)), clean)


@pytest.mark.parametrize("mode", MODES)
def test_environments_are_independent(mode):
    steps = random_rollout(batch=(3, 2))
    together = generalised_advantage(*steps, 0.9, 0.8, mode)
    alone = generalised_advantage(*(x[:, 1, 1] for x in steps), 0.9, 0.8, mode)
    np.testing.assert_allclose(together[:, 1, 1], alone, rtol=1e-6)


def test_unknown_mode_and_wrong_shapes_are_refused():
    steps = random_rollout()
    with pytest.raises(ValueError, match="truncation = 'cut'"):
        generalised_advantage(*steps, 0.9, 0.9, "cut")
    with pytest.raises(TypeCheckError):
        generalised_advantage(steps[0][:-1], *steps[1:], 0.9, 0.9)
