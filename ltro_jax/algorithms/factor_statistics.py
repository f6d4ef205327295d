"""What is measured at each position of the update order: the factor and the advantage variance."""

from typing import NamedTuple

import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.ops import effective_sample_size, masked_fraction, masked_mean, masked_variance
from ltro_jax.types import AgentBatch, Array


class FactorStatistics(NamedTuple):
    """Figures over the active samples of the agent at one position; all scalars float32.

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
    factor, ratio = jnp.exp(log_factor), jnp.exp(log_ratio)
    any_active = jnp.any(mask)
    return FactorStatistics(
        adv_variance_raw=masked_variance(factor * advantage, mask, ddof=1),
        adv_variance_clip1=masked_variance(jnp.minimum(factor, 1.0) * advantage, mask, ddof=1),
        adv_variance_used=masked_variance(weight * advantage, mask, ddof=1),
        factor_mean=masked_mean(factor, mask),
        factor_max=jnp.where(any_active, jnp.max(factor, where=mask, initial=0.0), 0.0),
        factor_min=jnp.where(any_active, jnp.min(factor, where=mask, initial=jnp.inf), 0.0),
        factor_ess=effective_sample_size(factor, mask),
        factor_above_one=masked_fraction(factor > 1.0, mask),
        factor_above_clip=masked_fraction(factor > hypers.factor_clip, mask),
        kl=masked_mean(ratio - 1.0 - log_ratio, mask),
        total_variation=0.5 * masked_mean(jnp.abs(ratio - 1.0), mask),
    )
