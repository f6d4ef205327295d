"""Generalised advantage estimation with real time limits."""

import chex
import jax
import jax.numpy as jnp

from ltro_jax.types import Array


def generalised_advantage(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    gamma: Array | float,
    gae_lambda: Array | float,
    truncation: str = "bootstrap",
) -> Array:
    """Generalised advantage estimate, by one reverse scan over time; d = terminated ∨ truncated.

        bootstrap:  δ_t = r_t + γ V(true next state)(1 − terminated_t) − V(s_t);  A_t = δ_t + γλ(1 − d_t) A_{t+1}
        mask:       δ_t = r_t + γ V(s_{t+1})(1 − d_t) − V(s_t);  A_t = (1 − truncated_t)(δ_t + γλ(1 − d_t) A_{t+1})

    Args:
        reward: `[T, …]` float32.
        value: `[T, …]` float32, V(s_t) in reward units.
        next_value: `[T, …]` float32, V of the true next state in reward units (not read where it cannot matter).
        terminated, truncated: `[T, …]` bool.
        gamma, gae_lambda: scalars, traced.
        truncation: `"bootstrap"`, or `"mask"` as the reference does.
    Returns:
        `[T, …]` float32; the return target is this plus `value`.
    Raises:
        AssertionError: shapes differ (at trace time).
        ValueError: `truncation` is neither of the two.
    Source: Schulman et al. 2016, Eq. 16; Pardo et al. 2018 (time limits).
    """
    chex.assert_equal_shape([reward, value, next_value, terminated, truncated])
    done = terminated | truncated
    if truncation == "bootstrap":
        bootstrapped, kept = ~terminated, jnp.ones_like(reward)
    elif truncation == "mask":
        bootstrapped, kept = ~done, 1.0 - truncated
    else:
        raise ValueError(f"truncation = {truncation!r} is not one of bootstrap, mask")
    delta = reward + gamma * jnp.where(bootstrapped, next_value, 0.0) - value

    def backwards(next_advantage: Array, step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta_t, decay_t, kept_t = step
        advantage = kept_t * (delta_t + decay_t * next_advantage)
        return advantage, advantage

    decay = gamma * gae_lambda * (1.0 - done)
    _, advantage = jax.lax.scan(backwards, jnp.zeros_like(delta[0]), (delta, decay, kept), reverse=True)
    return advantage
