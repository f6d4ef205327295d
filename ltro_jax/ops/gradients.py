"""Gradient clipping as the reference computes it."""

import jax
import jax.numpy as jnp

from ltro_jax.types import Array, Params

SQUARES_SAFE_BELOW = 1e15  # with entries up to this the sum of a hundred million squares is finite in float32


def global_norm(tree: Params) -> Array:
    """2-norm of all entries together, scalar; large entries are scaled first, so that their squares cannot overflow."""
    leaves = jax.tree.leaves(tree)
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    scale = jnp.where(largest > SQUARES_SAFE_BELOW, largest, 1.0)
    return scale * jnp.sqrt(sum(jnp.sum(jnp.square(leaf / scale)) for leaf in leaves))


def clip_by_global_norm(gradient: Params, max_norm: Array | float) -> tuple[Params, Array]:
    """Scale a gradient so that its global 2-norm is at most `max_norm`.

        g ← g · min(1, max_norm / (‖g‖ + 1e-6))

    The 1e-6 in the denominator is PyTorch's `clip_grad_norm_`; optax's version lacks it and differs once it clips.

    Args:
        gradient: pytree of arrays.
        max_norm: scalar > 0, traced.
    Returns:
        The clipped gradient, and the scalar norm before clipping.
    """
    norm = global_norm(gradient)
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda leaf: leaf * scale, gradient), norm
