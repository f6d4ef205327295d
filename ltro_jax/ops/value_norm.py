"""Value normalisation: debiased, exponentially weighted mean and variance of the return targets.

Source: van Hasselt et al. 2016 (PopArt, statistics only), as used by Yu et al. 2022 and the published implementation.
"""

import jax.numpy as jnp
from jaxtyping import Float

from ltro_jax.ops.statistics import compensated_add
from ltro_jax.types import Array, ValueNorm

BETA = 0.99999  # weight of the past per update, not per sample
VARIANCE_FLOOR = 1e-2


def init_value_norm() -> ValueNorm:
    """Statistics before the first update; their moments are mean 0 and the variance floor."""
    return ValueNorm(*(jnp.zeros((), jnp.float32) for _ in ValueNorm._fields))


def update_value_norm(state: ValueNorm, target: Float[Array, "*batch"]) -> ValueNorm:
    """Update the statistics with one batch of return targets in reward units.

        d ← d + (1 − β)(1 − d);   w = (1 − β) / d;   δ = mean(y) − μ
        μ ← μ + w δ;              σ² ← σ² + w (var(y) + (1 − w) δ² − σ²)

    In exact arithmetic these are the debiased averages of the published implementation, μ = m/d and σ² = q/d − μ² with
    m ← β m + (1 − β) mean(y) and q ← β q + (1 − β) mean(y²). In float32 those fail: q/d − μ² cancels if the mean is
    large relative to the deviation, and both sums stop before they reach their limit.
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


def value_norm_moments(state: ValueNorm) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and variance of the return targets in reward units; the variance is at least `VARIANCE_FLOOR`."""
    return state.mean, jnp.maximum(state.variance, VARIANCE_FLOOR)


def normalise(state: ValueNorm, value: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Convert values from reward units to normalised units."""
    mean, variance = value_norm_moments(state)
    return (value - mean) / jnp.sqrt(variance)


def denormalise(state: ValueNorm, value: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Convert values from normalised units to reward units."""
    mean, variance = value_norm_moments(state)
    return value * jnp.sqrt(variance) + mean
