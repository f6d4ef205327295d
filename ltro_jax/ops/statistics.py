"""Statistics over valid samples. Masked entries have no influence, and an empty mask gives 0, never NaN."""

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from ltro_jax.types import Array


def compensated_add(
    total: Float[Array, "*batch"], rest: Float[Array, "*batch"], change: Float[Array, "*batch"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """`total + rest + change` as a new total, and the rest that rounding removes from it. Source: Kahan 1965.

    A plain float32 sum of many small numbers drifts, and stops growing once each number is below half a unit in the
    last place of the sum.
    """
    change = change + rest
    new_total = total + change
    return new_total, change - (new_total - total)


def masked_mean(x: Float[Array, "*batch"], mask: Bool[Array, "*batch"]) -> Float[Array, ""]:
    """Mean of `x` over the samples where `mask` is True; 0 if there are none."""
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(_count(mask), 1).astype(x.dtype)


def masked_variance(x: Float[Array, "*batch"], mask: Bool[Array, "*batch"], ddof: int = 0) -> Float[Array, ""]:
    """Two-pass variance of `x` over the samples where `mask` is True, with divisor count − ddof; 0 without samples."""
    deviation = jnp.where(mask, x - masked_mean(x, mask), 0.0)  # masked before squaring, which masks the gradient too
    return jnp.sum(jnp.square(deviation)) / jnp.maximum(_count(mask) - ddof, 1).astype(x.dtype)


def _count(mask: Bool[Array, "*batch"]) -> Int[Array, ""]:
    """Number of True entries, int32: a float32 sum of ones can stop at 2²⁴."""
    return jnp.sum(mask, dtype=jnp.int32)


def masked_fraction(condition: Bool[Array, "*batch"], mask: Bool[Array, "*batch"]) -> Float[Array, ""]:
    """Fraction of the valid samples for which `condition` holds, float32."""
    return masked_mean(condition.astype(jnp.float32), mask)


def standardise(
    advantage: Float[Array, "*batch"], mask: Bool[Array, "*batch"], eps: float = 1e-5
) -> Float[Array, "*batch"]:
    """Standardise all advantages by the mean and the population standard deviation of the valid samples.

        (A − mean) / (std + ε)

    Args:
        mask: True where a sample counts in the mean and the deviation.
    Source: Le & Ta 2025, published implementation.
    """
    deviation = jnp.sqrt(masked_variance(advantage, mask))
    return (advantage - masked_mean(advantage, mask)) / (deviation + eps)


def effective_sample_size(weight: Float[Array, "*batch"], mask: Bool[Array, "*batch"]) -> Float[Array, ""]:
    """Kish's effective sample size (Σ w)² / Σ w² over the valid samples.

    The weights are divided by the largest first, so that their squares cannot overflow.

    Args:
        weight: importance weights ≥ 0.
    Returns:
        A value between 0 and the number of valid samples.
    Source: Kish 1965.
    """
    weight = jnp.where(mask, weight, 0.0)
    weight = weight / jnp.maximum(jnp.max(weight), jnp.finfo(weight.dtype).tiny)
    return jnp.square(jnp.sum(weight)) / jnp.maximum(jnp.sum(jnp.square(weight)), jnp.finfo(weight.dtype).tiny)
