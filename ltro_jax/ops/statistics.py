"""Statistics over valid samples. Masked entries never matter, and an empty mask gives 0, never NaN."""

import chex
import jax.numpy as jnp

from ltro_jax.types import Array


def compensated_add(total: Array, rest: Array, change: Array) -> tuple[Array, Array]:
    """`total + rest + change` `[…]` as a new total, and the rest that its rounding loses. Source: Kahan 1965.

    A float32 sum of many small numbers drifts, and stops where each is less than half a unit in its last place.
    """
    change = change + rest
    new_total = total + change
    return new_total, change - (new_total - total)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of `x` `[…]` where `mask` `[…]` bool is True; scalar, 0 if nowhere."""
    chex.assert_equal_shape([x, mask])
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(_count(mask), 1).astype(x.dtype)


def masked_variance(x: Array, mask: Array, ddof: int = 0) -> Array:
    """Two-pass variance of `x` `[…]` where `mask` `[…]` is True, divided by (count − ddof); scalar, 0 if nowhere."""
    chex.assert_equal_shape([x, mask])
    deviation = jnp.where(mask, x - masked_mean(x, mask), 0.0)  # masked before squaring: so is the gradient
    return jnp.sum(jnp.square(deviation)) / jnp.maximum(_count(mask) - ddof, 1).astype(x.dtype)


def _count(mask: Array) -> Array:
    """How many are True, `[]` int32: a float32 sum of ones can stop at 2²⁴."""
    return jnp.sum(mask, dtype=jnp.int32)


def masked_fraction(condition: Array, mask: Array) -> Array:
    """Fraction of the valid samples at which `condition` `[…]` bool holds; float32 scalar."""
    return masked_mean(condition.astype(jnp.float32), mask)


def standardise(advantage: Array, mask: Array, eps: float = 1e-5) -> Array:
    """Standardise advantages by the valid samples' mean and population deviation; applied to every sample.

        (A − mean) / (std + ε)

    Args:
        advantage: `[…]` float32.
        mask: `[…]` bool, True = counts for mean and deviation.
    Returns:
        `[…]` float32.
    Source: Le & Ta 2025, published implementation.
    """
    deviation = jnp.sqrt(masked_variance(advantage, mask))
    return (advantage - masked_mean(advantage, mask)) / (deviation + eps)


def effective_sample_size(weight: Array, mask: Array) -> Array:
    """Kish's effective sample size (Σ w)² / Σ w² over valid samples.

    Args:
        weight: `[…]` float32 ≥ 0, importance weights.
        mask: `[…]` bool.
    Returns:
        Scalar float32 in [0, count]; scaled by the largest weight first, so that squares cannot overflow.
    Source: Kish 1965.
    """
    weight = jnp.where(mask, weight, 0.0)
    weight = weight / jnp.maximum(jnp.max(weight), jnp.finfo(weight.dtype).tiny)
    return jnp.square(jnp.sum(weight)) / jnp.maximum(jnp.sum(jnp.square(weight)), jnp.finfo(weight.dtype).tiny)
