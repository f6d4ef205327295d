"""Value normalisation: debiased, exponentially weighted mean and variance of the return targets.

Source: van Hasselt et al. 2016 (PopArt, statistics only) as used by Yu et al. 2022 and by the reference.
"""

import jax.numpy as jnp

from ltro_jax.ops.statistics import compensated_add
from ltro_jax.types import Array, ValueNorm

BETA = 0.99999  # weight of the past per update, not per sample
VARIANCE_FLOOR = 1e-2


def init_value_norm() -> ValueNorm:
    """Statistics before any update: mean 0, and the variance floor."""
    return ValueNorm(*(jnp.zeros((), jnp.float32) for _ in ValueNorm._fields))


def update_value_norm(state: ValueNorm, target: Array) -> ValueNorm:
    """Take in one batch of return targets `[…]` in reward units.

        d ← d + (1 − β)(1 − d);   w = (1 − β) / d;   δ = mean(y) − μ
        μ ← μ + w δ;              σ² ← σ² + w (var(y) + (1 − w) δ² − σ²)

    In exact arithmetic these are the debiased averages of the reference, μ = m/d and σ² = q/d − μ² with
    m ← β m + (1 − β) mean(y) and q ← β q + (1 − β) mean(y²). In float32 the latter fail: q/d − μ² cancels where the
    mean is large beside the deviation, and both sums stop short of their limit.
    """
    debias, debias_rest = compensated_add(state.debias, state.debias_rest, (1.0 - BETA) * (1.0 - state.debias))
    weight = (1.0 - BETA) / debias
    deviation = target - state.mean
    shift = jnp.mean(deviation)
    batch_variance = jnp.mean(jnp.square(deviation - shift))
    shift = shift - state.mean_rest
    mean, mean_rest = compensated_add(state.mean, state.mean_rest, weight * shift)
    change = weight * (batch_variance + (1.0 - weight) * jnp.square(shift) - state.variance)
    variance, variance_rest = compensated_add(state.variance, state.variance_rest, change)
    return ValueNorm(mean, variance, debias, mean_rest, variance_rest, debias_rest)


def value_norm_moments(state: ValueNorm) -> tuple[Array, Array]:
    """Mean and variance (≥ 1e-2), scalars."""
    return state.mean, jnp.maximum(state.variance, VARIANCE_FLOOR)


def normalise(state: ValueNorm, value: Array) -> Array:
    """Reward units `[…]` → normalised units `[…]`."""
    mean, variance = value_norm_moments(state)
    return (value - mean) / jnp.sqrt(variance)


def denormalise(state: ValueNorm, value: Array) -> Array:
    """Normalised units `[…]` → reward units `[…]`."""
    mean, variance = value_norm_moments(state)
    return value * jnp.sqrt(variance) + mean
