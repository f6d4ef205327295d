"""Generalised advantage estimation with real time limits."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from ltro_jax.types import Array, Scalar


def generalised_advantage(
    reward: Float[Array, " T *batch"],
    value: Float[Array, " T *batch"],
    next_value: Float[Array, " T *batch"],
    terminated: Bool[Array, " T *batch"],
    truncated: Bool[Array, " T *batch"],
    gamma: Scalar,
    gae_lambda: Scalar,
    truncation: str = "bootstrap",
    trace: Float[Array, " T *batch"] | None = None,
) -> Float[Array, " T *batch"]:
    """Generalised advantage estimate, computed by one reverse scan over time; d = terminated ∨ truncated.

        bootstrap:  δ_t = r_t + γ V(true next state)(1 − terminated_t) − V(s_t)
                    A_t = δ_t + γλ(1 − d_t) c_{t+1} A_{t+1}
        mask:       δ_t = r_t + γ V(s_{t+1})(1 − d_t) − V(s_t)
                    A_t = (1 − truncated_t)(δ_t + γλ(1 − d_t) c_{t+1} A_{t+1})

    Without a trace every c_t is 1, which is the estimate of Schulman et al.

    Args:
        value: V(s_t) in reward units.
        next_value: V of the true next state in reward units; ignored where its coefficient is zero.
        truncation: `"bootstrap"`, or `"mask"` as in the published implementation.
        trace: c_t, the weight of the advantage from step t on for the step before it; None = 1.
    Returns:
        The advantages in reward units; adding `value` gives the return targets.
    Raises:
        ValueError: `truncation` is neither `"bootstrap"` nor `"mask"`.
    Source: Schulman et al. 2016, Eq. 16; Pardo et al. 2018 (time limits); Wang et al. 2023 (trace).
    """
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
    if trace is not None:
        decay = decay * jnp.concatenate([trace[1:], trace[:1]])  # the last entry meets A_T = 0
    _, advantage = jax.lax.scan(backwards, jnp.zeros_like(delta[0]), (delta, decay, kept), reverse=True)
    return advantage
