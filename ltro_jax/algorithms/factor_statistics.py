"""Metrics of each position in the update order: the factor and the advantage variance."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from ltro_jax.config import Hypers
from ltro_jax.ops import clamped_factor, effective_sample_size, masked_fraction, masked_mean, masked_variance
from ltro_jax.types import AgentBatch, Array

SQUARES_SAFE_BELOW = 20.0  # of log R


class FactorStatistics(NamedTuple):
    """Metrics over the active samples of the agent at one position; ∞ where float32 overflows.

    R is the raw factor of the agents before it, A its standardised advantage, c the setting `factor_clip`, r its ratio.
    """

    adv_variance_raw: Float[Array, ""]  # Var(R·A), ddof 1
    adv_variance_clip1: Float[Array, ""]  # Var(min(R, 1)·A), ddof 1
    adv_variance_used: Float[Array, ""]  # Var(w·A), ddof 1, w the weight that the update used
    factor_mean: Float[Array, ""]
    factor_max: Float[Array, ""]
    factor_min: Float[Array, ""]
    factor_ess: Float[Array, ""]  # (Σ R)² / Σ R², in samples
    factor_above_one: Float[Array, ""]  # fraction of samples with R > 1
    factor_above_clip: Float[Array, ""]  # fraction of samples with R > c
    kl: Float[Array, ""]  # mean of r − 1 − log r: unbiased, non-negative estimate of KL(old ‖ new), nats
    total_variation: Float[Array, ""]  # mean of |r − 1| / 2: estimate of TV(old, new)


def factor_statistics(
    log_factor: Float[Array, "*samples"],
    weight: Float[Array, "*samples"],
    log_ratio: Float[Array, "*samples"],
    batch: AgentBatch,
    hypers: Hypers,
) -> FactorStatistics:
    """Compute the in-sample metrics of one position.

    Args:
        log_factor: log R before this agent's update.
        weight: the weight that the update used.
        log_ratio: log r of this agent after its update.
        batch: this agent's samples; reads `advantage` and `active_mask`.
    Source: Le & Ta 2025, Section 5; KL estimate: Schulman 2020 ("k3").
    """
    mask, advantage = batch.active_mask, batch.advantage
    any_active = jnp.any(mask)
    log_max = jnp.where(any_active, jnp.max(log_factor, where=mask, initial=-jnp.inf), 0.0)
    log_min = jnp.where(any_active, jnp.min(log_factor, where=mask, initial=jnp.inf), 0.0)
    log_scale = jnp.where(log_max > SQUARES_SAFE_BELOW, log_max, 0.0)
    scaled = jnp.exp(jnp.where(mask, log_factor - log_scale, 0.0))  # R, or R / max R where squares could overflow
    ratio_minus_one = jnp.expm1(log_ratio)  # computing r − 1 would leave only rounding errors after a small step
    return FactorStatistics(
        adv_variance_raw=unscaled(masked_variance(scaled * advantage, mask, ddof=1), 2.0 * log_scale),
        adv_variance_clip1=masked_variance(clamped_factor(log_factor, 1.0) * advantage, mask, ddof=1),
        adv_variance_used=masked_variance(weight * advantage, mask, ddof=1),
        factor_mean=unscaled(masked_mean(scaled, mask), log_scale),
        factor_max=jnp.where(any_active, jnp.exp(log_max), 0.0),
        factor_min=jnp.where(any_active, jnp.exp(log_min), 0.0),
        factor_ess=effective_sample_size(scaled, mask),
        factor_above_one=masked_fraction(log_factor > 0.0, mask),
        factor_above_clip=masked_fraction(log_factor > jnp.log(hypers.factor_clip), mask),
        kl=masked_mean(ratio_minus_one - log_ratio, mask),
        total_variation=0.5 * masked_mean(jnp.abs(ratio_minus_one), mask),
    )


def unscaled(x: Float[Array, ""], log_scale: Float[Array, ""]) -> Float[Array, ""]:
    """x · exp(`log_scale`) for x ≥ 0: ∞ only where the product itself exceeds float32."""
    return jnp.where(log_scale == 0.0, x, jnp.exp(jnp.log(x) + log_scale))
