"""Distances between two distributions given by finite log-probabilities over the last axis."""

import jax.numpy as jnp

from ltro_jax.types import Array


def total_variation(log_new: Array, log_old: Array) -> Array:
    """TV = ½ Σ_a |π'(a) − π(a)|; `[…, A]`, `[…, A]` → `[…]` in [0, 1]."""
    return 0.5 * jnp.sum(jnp.abs(jnp.exp(log_new) - jnp.exp(log_old)), axis=-1)


def chi_square(log_new: Array, log_old: Array) -> Array:
    """χ²(π'‖π) = Σ_a π(a) (r(a) − 1)², r = π'/π; `[…, A]`, `[…, A]` → `[…]` ≥ 0.

    Computed from logarithms, since (r − 1)² may overflow although its product with π does not.
    """
    log_square = 2.0 * jnp.log(jnp.abs(jnp.expm1(log_new - log_old)))
    return jnp.sum(jnp.exp(log_old + log_square), axis=-1)


def kl_divergence(log_old: Array, log_new: Array) -> Array:
    """KL(π‖π') = Σ_a π(a) (log π(a) − log π'(a)), nats; `[…, A]`, `[…, A]` → `[…]` ≥ 0.

    Summed as π (r − 1 − log r): every term is ≥ 0, so the KL of a small step is not lost to cancellation.
    """
    log_ratio = log_new - log_old
    near = jnp.exp(log_old) * (jnp.expm1(log_ratio) - log_ratio)
    far = jnp.exp(log_new) - jnp.exp(log_old) * (1.0 + log_ratio)  # a large ratio overflows, the probability does not
    return jnp.sum(jnp.where(log_ratio < 1.0, near, far), axis=-1)
