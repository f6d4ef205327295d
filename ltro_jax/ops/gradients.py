"""Gradient clipping as the reference computes it."""

import jax
import jax.numpy as jnp
import optax

from ltro_jax.types import Array, Params


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
    norm = optax.tree.norm(gradient)
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda leaf: leaf * scale, gradient), norm
