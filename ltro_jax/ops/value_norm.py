"""Value normalisation: debiased, exponentially weighted mean and variance of the return targets.

Source: van Hasselt et al. 2016 (PopArt, statistics only) as used by Yu et al. 2022 and by the reference.
"""

import jax.numpy as jnp

from ltro_jax.types import Array, ValueNorm

BETA = 0.99999  # weight of the past per update, not per sample
DEBIAS_FLOOR = 1e-5
VARIANCE_FLOOR = 1e-2


def init_value_norm() -> ValueNorm:
    """Statistics before any update: mean 0, and the variance floor."""
    return ValueNorm(*(jnp.zeros((), jnp.float32) for _ in ValueNorm._fields))


def update_value_norm(state: ValueNorm, target: Array) -> ValueNorm:
    """Take in one batch of return targets `[…]` in reward units: x ← β x + (1 − β) · batch mean."""

    def averaged(old: Array, new: Array | float) -> Array:
        return BETA * old + (1.0 - BETA) * new

    return ValueNorm(
        mean=averaged(state.mean, jnp.mean(target)),
        mean_sq=averaged(state.mean_sq, jnp.mean(jnp.square(target))),
        debias=averaged(state.debias, 1.0),
    )


def value_norm_moments(state: ValueNorm) -> tuple[Array, Array]:
    """Debiased mean and variance (≥ 1e-2), scalars."""
    debias = jnp.maximum(state.debias, DEBIAS_FLOOR)
    mean = state.mean / debias
    return mean, jnp.maximum(state.mean_sq / debias - jnp.square(mean), VARIANCE_FLOOR)


def normalise(state: ValueNorm, value: Array) -> Array:
    """Reward units `[…]` → normalised units `[…]`."""
    mean, variance = value_norm_moments(state)
    return (value - mean) / jnp.sqrt(variance)


def denormalise(state: ValueNorm, value: Array) -> Array:
    """Normalised units `[…]` → reward units `[…]`."""
    mean, variance = value_norm_moments(state)
    return value * jnp.sqrt(variance) + mean
