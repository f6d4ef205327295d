"""Objectives of one agent and of the critic."""

import chex
import jax
import jax.numpy as jnp
import optax

from ltro_jax.ops.statistics import masked_mean
from ltro_jax.types import Array


def clipped_surrogate(ratio: Array, advantage: Array, weight: Array, clip_eps: Array | float, mask: Array) -> Array:
    """Clipped surrogate objective of one agent, weighted by the clamped factor of the agents before it.

        L = mean_valid( w · min(r·A, clip(r, 1−ε, 1+ε)·A) ),   w = min(R, c) ≥ 0

    The min is taken before the product with w.

    Args:
        ratio: `[…]` float32, π_new/π_old of this agent, > 0.
        advantage: `[…]` float32, standardised; gradients are stopped.
        weight: `[…]` float32 ≥ 0, the clamped factor; gradients are stopped.
        clip_eps: scalar, traced.
        mask: `[…]` bool, True = agent alive; all-False gives 0, not NaN.
    Returns:
        Scalar float32, to be maximised.
    Raises:
        AssertionError: shapes differ (at trace time).
    Source: Le & Ta 2025 (clip-HAPPO; c = ∞ is Kuba et al. 2022, w = 1 is Schulman et al. 2017, Eq. 7).
    """
    chex.assert_equal_shape([ratio, advantage, weight, mask])
    advantage, weight = jax.lax.stop_gradient((jnp.where(mask, advantage, 0.0), jnp.where(mask, weight, 0.0)))
    clipped_ratio = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    return masked_mean(weight * jnp.minimum(ratio * advantage, clipped_ratio * advantage), mask)


def clipped_value_loss(
    value: Array, old_value: Array, target: Array, clip_eps: Array | float, huber_delta: Array | float
) -> Array:
    """Value loss, the larger of the clipped and the unclipped Huber error, averaged over all samples.

        L = mean( max( huber(y − v), huber(y − (v_old + clip(v − v_old, ±ε))) ) )

    Args:
        value, old_value, target: `[…]` float32, all in normalised units; `old_value` as stored at rollout time.
        clip_eps, huber_delta: scalars, traced.
    Returns:
        Scalar float32, to be minimised.
    Raises:
        AssertionError: shapes differ (at trace time).
    Source: Yu et al. 2022 (MAPPO), Appendix A.
    """
    chex.assert_equal_shape([value, old_value, target])
    clipped = old_value + jnp.clip(value - old_value, -clip_eps, clip_eps)
    losses = (optax.losses.huber_loss(prediction, target, delta=huber_delta) for prediction in (value, clipped))
    return jnp.mean(jnp.maximum(*losses))
