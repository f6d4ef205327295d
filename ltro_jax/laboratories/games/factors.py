"""The factor R, the product of the ratios of the agents already updated, and its moments under the old policy.

All expectations are over actions of the old joint policy π at one state, by enumeration. Weights are logarithms that
are added to log π before exponentiation: the factor of a near-deterministic policy may overflow although its product
with π is an ordinary number.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.policies import joint_log_policy, lift
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.types import Array


class Factors(NamedTuple):
    """A change of policy π → π', agent by agent in an order; position m is the m-th agent to move."""

    log_joint: Array  # [S, J] log π(a|s), all agents old
    log_ratio: Array  # [N, S, J] log r_m of the agent at position m
    log_factor: Array  # [N+1, S, J] log R after the first 0..N agents; row m is what position m is weighted by


@jax.jit
def sequential_factors(log_new_policy: Array, log_policy: Array, order: Array) -> Factors:
    """Ratios and factors of a change of policy.

        R_{1:m} = Π_{k ≤ m} r_k,   r_k = π'_k(a_k|s) / π_k(a_k|s)

    Args:
        log_new_policy, log_policy: `[N, S, A]` float64, finite.
        order: `[N]` int, a permutation of the agents.
    Raises:
        TypeError: not float64.
        AssertionError: shapes differ (at trace time).
    Source: Kuba et al. 2022, Eq. 9; Le & Ta 2025.
    """
    require_float64(log_new_policy=log_new_policy, log_policy=log_policy)
    chex.assert_equal_shape([log_new_policy, log_policy])
    chex.assert_shape(order, log_policy.shape[:1])
    log_ratio = lift(log_new_policy - log_policy)[order]
    before_any = jnp.zeros_like(log_ratio[:1])
    log_factor = jnp.concatenate([before_any, jnp.cumsum(log_ratio, axis=0)])
    return Factors(joint_log_policy(log_policy), log_ratio, log_factor)


def log_clamped(log_factor: Array, factor_clip: Array | float) -> Array:
    """log min(R, c), any shape; c in (0, ∞]."""
    return jnp.minimum(log_factor, jnp.log(factor_clip))


def expectation(log_joint: Array, log_weight: Array, x: Array | float = 1.0) -> Array:
    """E_π[exp(log_weight) · x] over the last axis; if x = 0, even an overflowing weight adds 0."""
    weight = jnp.exp(jnp.broadcast_to(log_joint, log_weight.shape) + log_weight)
    x = jnp.broadcast_to(x, weight.shape)
    return jnp.sum(jnp.where(jnp.equal(x, 0.0), 0.0, weight * x), axis=-1)


def mean_clamped_factor(factors: Factors, factor_clip: Array | float = jnp.inf) -> Array:
    """E_π[min(R, c)]; c = ∞ gives E_π[R] = 1, c = 1 gives 1 − TV; `[N+1, S]`."""
    return expectation(factors.log_joint, log_clamped(factors.log_factor, factor_clip))


def second_moment(factors: Factors, factor_clip: Array | float = jnp.inf) -> Array:
    """E_π[min(R, c)²]; c = ∞ gives E_π[R²] = Π(1 + χ²), ∞ if it exceeds float64; `[N+1, S]`."""
    return expectation(factors.log_joint, 2.0 * log_clamped(factors.log_factor, factor_clip))


def excess(factors: Factors, factor_clip: Array | float) -> Array:
    """E_π[(R − c)⁺] = E_π|R − min(R, c)|, which the clamp removes; c = 1 gives TV, c = ∞ gives 0; `[N+1, S]`."""
    raw = jnp.exp(factors.log_joint[None] + factors.log_factor)
    kept = jnp.exp(factors.log_joint[None] + log_clamped(factors.log_factor, factor_clip))
    return jnp.sum(raw - kept, axis=-1)
