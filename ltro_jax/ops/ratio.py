"""Probability ratios and their products, computed from logarithms and bounded so that no update overflows."""

import math

import jax.numpy as jnp
from jaxtyping import Float

from ltro_jax.types import Array, Scalar

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


def clamped_factor(log_factor: Float[Array, "*batch"], factor_clip: Scalar) -> Float[Array, "*batch"]:
    """The weight w = min(R, c, `MAX_RATIO`) of an update, from log R.

    With c = ∞, the factor overflows float32 if R > 3.4e38, and an infinite weight turns every parameter into NaN.
    Therefore each sample with R > `MAX_RATIO` has the weight `MAX_RATIO`. Such samples alone determine the update,
    because float32 cannot resolve samples with R near 1 next to them. `max_grad_norm` and the optimiser, or the trust
    region, still bound the length of the step.

    Args:
        log_factor: logarithm of the raw factor R.
        factor_clip: c > 0; ∞ for plain HAPPO and HATRPO.
    Returns:
        0 ≤ w ≤ c.
    Source: Le & Ta 2025, Algorithm 1; the bound `MAX_RATIO` is an addition.
    """
    return jnp.minimum(jnp.exp(jnp.minimum(log_factor, math.log(MAX_RATIO))), factor_clip)
