"""Weights of the factor: what an agent's samples count after the agents before it have moved.

R is the raw factor, the product of the probability ratios of the agents already updated. Each function takes log R,
which does not overflow, and bounds the weight by `MAX_RATIO`. No weight depends on the agent that is being updated.
"""

import math

import jax.numpy as jnp
from jaxtyping import Bool, Float

from ltro_jax.ops.ratio import MAX_RATIO
from ltro_jax.types import Array, Scalar


def bounded_exp(log_weight: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """exp, at most `MAX_RATIO`: an infinite weight makes every parameter NaN."""
    return jnp.exp(jnp.minimum(log_weight, math.log(MAX_RATIO)))


def clamped_factor(log_factor: Float[Array, "*batch"], factor_clip: Scalar) -> Float[Array, "*batch"]:
    """min(R, c): the paper's low-variance weight with c = 1, plain HAPPO and HATRPO with c = ∞.

    With c = ∞ a sample with R > `MAX_RATIO` weighs `MAX_RATIO`. Such samples alone decide the update: beside them
    float32 does not resolve a sample with R near 1. `max_grad_norm` and Adam, or the trust region, still bound the
    length of the step.

    Args:
        factor_clip: c > 0.
    Source: Le & Ta 2025, Algorithm 1; the bound is ours.
    """
    return jnp.minimum(bounded_exp(log_factor), factor_clip)


def clamped_term(log_ratio: Float[Array, "*batch"], factor_clip: Scalar) -> Float[Array, "*batch"]:
    """log min(r, c), what one agent adds to log Π min(r_j, c).

    Args:
        factor_clip: c > 0.
    Source: truncated importance weights as in V-trace (Espeholt et al. 2018), per agent instead of per step.
    """
    return jnp.minimum(log_ratio, jnp.log(factor_clip))


def two_sided_factor(log_factor: Float[Array, "*batch"], factor_eps: Scalar) -> Float[Array, "*batch"]:
    """clip(R, 1 − ε', 1 + ε').

    Args:
        factor_eps: ε' > 0.
    Source: Wang et al. 2023 (A2PO), Eq. 6: the function g of the ratios of the agents before.
    """
    return jnp.clip(bounded_exp(log_factor), 1.0 - factor_eps, 1.0 + factor_eps)


def self_normalised_factor(log_factor: Float[Array, "*batch"], mask: Bool[Array, "*batch"]) -> Float[Array, "*batch"]:
    """R / mean R, the mean over the valid samples; 0 where no sample is valid.

    Args:
        mask: True = the sample counts.
    Source: self-normalised importance sampling, Hesterberg 1995.
    """
    largest = jnp.max(log_factor, where=mask, initial=-jnp.inf)
    scaled = jnp.exp(jnp.where(mask, log_factor - largest, -jnp.inf))
    count, total = jnp.sum(mask), jnp.sum(scaled)
    return jnp.where(mask, scaled * count / jnp.where(total > 0.0, total, 1.0), 0.0)


def powered_factor(log_factor: Float[Array, "*batch"], factor_power: Scalar) -> Float[Array, "*batch"]:
    """R^α: 1 with α = 0, R with α = 1.

    Args:
        factor_power: α ≥ 0.
    Source: flattened importance weights, Sugiyama et al. 2007.
    """
    return bounded_exp(factor_power * log_factor)
