"""Objectives of an agent and of a critic."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float

from ltro_jax.ops.statistics import masked_mean
from ltro_jax.types import Array, Scalar


def clipped_surrogate(
    ratio: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    weight: Float[Array, "*batch"],
    clip_eps: Scalar,
    mask: Bool[Array, "*batch"],
) -> Float[Array, ""]:
    """Clipped surrogate objective of one agent, weighted by the clamped factor of the agents before it.

        L = mean_valid( w · min(r·A, clip(r, 1−ε, 1+ε)·A) ),   w = min(R, c) ≥ 0

    The min is taken before the product with w.

    Args:
        ratio: π_new/π_old of this agent, > 0.
        advantage: standardised; no gradient flows through it.
        weight: the clamped factor, ≥ 0; no gradient flows through it.
        clip_eps: ε.
        mask: True where the agent is alive; if it never is, the objective is 0.
    Returns:
        The objective, to be maximised.
    Source: Le & Ta 2025 (clip-HAPPO; c = ∞ is Kuba et al. 2022, w = 1 is Schulman et al. 2017, Eq. 7).
    """
    advantage, weight = jax.lax.stop_gradient((jnp.where(mask, advantage, 0.0), jnp.where(mask, weight, 0.0)))
    clipped_ratio = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    return masked_mean(weight * jnp.minimum(ratio * advantage, clipped_ratio * advantage), mask)


def clipped_value_loss(
    value: Float[Array, "*batch"],
    old_value: Float[Array, "*batch"],
    target: Float[Array, "*batch"],
    clip_eps: Scalar,
    huber_delta: Scalar,
) -> Float[Array, ""]:
    """Value loss: the larger of the clipped and the unclipped Huber error, averaged over all samples.

        L = mean( max( huber(y − v), huber(y − (v_old + clip(v − v_old, ±ε))) ) )

    Args:
        value, old_value, target: v, v_old and y, in normalised units; `old_value` as stored at rollout time.
        clip_eps: ε.
        huber_delta: error beyond which the loss is linear.
    Returns:
        The loss, to be minimised.
    Source: Yu et al. 2022 (MAPPO), Appendix A.
    """
    clipped = old_value + jnp.clip(value - old_value, -clip_eps, clip_eps)
    losses = (optax.losses.huber_loss(prediction, target, delta=huber_delta) for prediction in (value, clipped))
    return jnp.mean(jnp.maximum(*losses))
