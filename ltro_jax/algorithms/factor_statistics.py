"""What is measured at each position of the update order: the factor and the advantage variance."""

from typing import NamedTuple

import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.ops import clamped_factor, effective_sample_size, masked_fraction, masked_mean, masked_variance
from ltro_jax.types import AgentBatch, Array

SQUARES_SAFE_BELOW = 20.0  # of log R


class FactorStatistics(NamedTuple):
    """Figures over the active samples of the agent at one position; all scalars float32, ∞ where float32 overflows.

    R is the raw factor of the agents before it, A its standardised advantage, c its own `factor_clip`, r its ratio.
    """

    adv_variance_raw: Array  # Var(R·A), ddof 1
    adv_variance_clip1: Array  # Var(min(R, 1)·A), ddof 1
    adv_variance_used: Array  # Var(w·A), ddof 1, w the weight used: min(R, c), or 1 when simultaneous
    factor_mean: Array
    factor_max: Array
    factor_min: Array
    factor_ess: Array  # (Σ R)² / Σ R², in samples
    factor_above_one: Array  # fraction of samples with R > 1
    factor_above_clip: Array  # fraction of samples with R > c
    kl: Array  # mean of r − 1 − log r: unbiased, non-negative estimate of KL(old ‖ new), nats
    total_variation: Array  # mean of |r − 1| / 2: estimate of TV(old, new)


def factor_statistics(
    log_factor: Array, weight: Array, log_ratio: Array, batch: AgentBatch, hypers: Hypers
) -> FactorStatistics:
    """In-sample figures of one position.

    Args:
        log_factor: `[T, B]`, log R before this agent's update.
        weight: `[T, B]`, what the update used.
        log_ratio: `[T, B]`, log r of this agent after its update.
        batch: this agent's samples; reads `advantage` and `active_mask`.
    Source: Le & Ta 2025, Section 5; KL estimate: Schulman 2020 ("k3").
    """
    mask, advantage = batch.active_mask, batch.advantage
    any_active = jnp.any(mask)
    log_max = jnp.where(any_active, jnp.max(log_factor, where=mask, initial=-jnp.inf), 0.0)
    log_min = jnp.where(any_active, jnp.min(log_factor, where=mask, initial=jnp.inf), 0.0)
    log_scale = jnp.where(log_max > SQUARES_SAFE_BELOW, log_max, 0.0)
    scaled = jnp.exp(jnp.where(mask, log_factor - log_scale, 0.0))  # R, or R / max R where squares could overflow
    own_ratio_less_one = jnp.expm1(log_ratio)  # not r − 1, of which a small step leaves nothing but rounding
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
        kl=masked_mean(own_ratio_less_one - log_ratio, mask),
        total_variation=0.5 * masked_mean(jnp.abs(own_ratio_less_one), mask),
    )


def unscaled(x: Array, log_scale: Array) -> Array:
    """x · exp(`log_scale`) for x ≥ 0, scalar: ∞ only where the product itself exceeds float32."""
    return jnp.where(log_scale == 0.0, x, jnp.exp(jnp.log(x) + log_scale))
