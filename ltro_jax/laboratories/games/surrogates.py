"""The objective of each position, and the moments of its weighted advantage."""

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.factors import Factors, expectation, log_clamped
from ltro_jax.types import Array


def new_policy_advantage(factors: Factors, advantage: Array) -> Array:
    """E_{a~π'}[A(s, a)]; advantage `[S, J]` of the old policy → `[S]`."""
    return expectation(factors.log_joint, factors.log_factor[-1], advantage)


@jax.jit
def surrogates(factors: Factors, advantage: Array, factor_clip: Array | float) -> Array:
    """Clipped surrogate of each position at each state.

        L_m(s) = E_π[ min(R_{1:m−1}, c) (r_m − 1) A ]

    At c = ∞ the positions sum to E_{a~π'}[A(s, ·)].

    Args:
        advantage: `[S, J]`, of the old policy.
        factor_clip: c in (0, ∞], traced.
    Returns:
        `[N, S]`.
    Source: Le & Ta 2025; c = ∞ is Kuba et al. 2022, Lemma 1.
    """
    log_weight = log_clamped(factors.log_factor[:-1], factor_clip)
    after = expectation(factors.log_joint, log_weight + factors.log_ratio, advantage)
    return after - expectation(factors.log_joint, log_weight, advantage)


@jax.jit
def weighted_second_moment(factors: Factors, advantage: Array, factor_clip: Array | float) -> Array:
    """E_π[(min(R_{1:m−1}, c) A)²] of each position at each state; advantage `[S, J]` → `[N, S]`."""
    log_weight = log_clamped(factors.log_factor[:-1], factor_clip)
    return expectation(factors.log_joint, 2.0 * log_weight, jnp.square(advantage))


@jax.jit
def weighted_variance(
    factors: Factors, advantage: Array, state_distribution: Array, factor_clip: Array | float
) -> Array:
    """Var of min(R_{1:m−1}, c)·A over s ~ d^π, a ~ π, for each position; raw at c = ∞.

    Args:
        advantage: `[S, J]`; state_distribution: `[S]`; factor_clip: c in (0, ∞], traced.
    Returns:
        `[N]` ≥ 0, ∞ if it exceeds float64.
    """
    log_weight = log_clamped(factors.log_factor[:-1], factor_clip)
    mean = expectation(factors.log_joint, log_weight, advantage) @ state_distribution
    second = weighted_second_moment(factors, advantage, factor_clip)
    reached = jnp.where(
        state_distribution > 0, second, 0.0
    )  # an overflow in a state that is never visited does not count
    return jnp.maximum(reached @ state_distribution - jnp.square(mean), 0.0)
