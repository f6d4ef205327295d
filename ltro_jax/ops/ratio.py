"""Probability ratios from logarithms and gradients, bounded so that no update overflows."""

import math

import jax.numpy as jnp
from jaxtyping import Float

from ltro_jax.types import Array

MAX_RATIO = 1e10  # of one agent in a loss, and of the factor as a weight; their product times any gradient is finite
MAX_ENTRY = 1e15  # of a gradient: the squares of all its entries still have a finite sum


def bounded(gradient: Float[Array, " D"]) -> Float[Array, " D"]:
    """Clip each entry of a gradient to ±`MAX_ENTRY`, so that its norm is finite in float32."""
    return jnp.clip(gradient, -MAX_ENTRY, MAX_ENTRY)


def probability_ratio(log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The ratio r in an objective: exp(log r) up to `MAX_RATIO`, and the tangent at that point beyond it.

    Because ∞ · 0 is NaN, a single ratio that overflows turns the whole gradient into NaN, even if the clip of the
    surrogate, an advantage of 0 or a mask excludes the sample. The tangent keeps value and gradient finite, and the
    gradient still reduces the ratio of a sample with negative advantage.

    Args:
        log_ratio: log π_new − log π_old.
    Returns:
        r > 0.
    """
    limit = math.log(MAX_RATIO)
    return jnp.where(log_ratio > limit, MAX_RATIO * (1.0 + log_ratio - limit), jnp.exp(jnp.minimum(log_ratio, limit)))
