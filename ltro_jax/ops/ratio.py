"""Probability ratios and their products from logarithms, bounded so that no update overflows."""

import math

import jax.numpy as jnp

from ltro_jax.types import Array

MAX_RATIO = 1e10  # of one agent in a loss, and of the factor as a weight; their product times any gradient is finite
MAX_ENTRY = 1e15  # of a gradient: the squares of all its entries still have a finite sum


def bounded(gradient: Array) -> Array:
    """A gradient `[D]` with entries within ±`MAX_ENTRY`, so that its norm is finite in float32; smaller ones stay."""
    return jnp.clip(gradient, -MAX_ENTRY, MAX_ENTRY)


def probability_ratio(log_ratio: Array) -> Array:
    """The ratio r of an objective: exp(log r) up to `MAX_RATIO`, and beyond it the tangent there.

    A ratio that overflows makes NaN of the whole gradient, for ∞ · 0 is NaN: even where the clip of the surrogate, an
    advantage of 0 or a mask leaves the sample out. The tangent keeps value and gradient finite, and the gradient still
    pulls a sample with negative advantage back.

    Args:
        log_ratio: `[…]` float32, log π_new − log π_old.
    Returns:
        `[…]` float32 > 0.
    """
    limit = math.log(MAX_RATIO)
    return jnp.where(log_ratio > limit, MAX_RATIO * (1.0 + log_ratio - limit), jnp.exp(jnp.minimum(log_ratio, limit)))


def clamped_factor(log_factor: Array, factor_clip: Array | float) -> Array:
    """The weight w = min(R, c, `MAX_RATIO`) of an update, from log R.

    With c = ∞ the factor overflows float32 where R > 3.4e38, and an infinite weight makes every parameter NaN. So
    samples with R > `MAX_RATIO` weigh `MAX_RATIO` each. They alone decide the update then: beside them float32 does not
    resolve a sample with R near 1. The length of the step stays bounded by `max_grad_norm` and Adam, or by the trust
    region.

    Args:
        log_factor: `[…]` float32, logarithm of the raw factor R.
        factor_clip: scalar c > 0, traced; ∞ for plain HAPPO and HATRPO.
    Returns:
        `[…]` float32, 0 ≤ w ≤ c.
    Source: Le & Ta 2025, Algorithm 1; the bound is ours.
    """
    return jnp.minimum(jnp.exp(jnp.minimum(log_factor, math.log(MAX_RATIO))), factor_clip)
