"""Gradient clipping as the reference computes it."""

import jax
import jax.numpy as jnp

from ltro_jax.types import Array, Params

SMALL = 1e-25  # times any finite float32 it can be squared and summed


def global_norm(tree: Params) -> Array:
    """2-norm of all entries together, scalar; where squares overflow, that of smaller entries scaled up again."""

    def norm(scale: float) -> Array:
        return jnp.sqrt(sum(jnp.sum(jnp.square(leaf * scale)) for leaf in jax.tree.leaves(tree)))

    plain = norm(1.0)
    return jnp.where(jnp.isfinite(plain), plain, norm(SMALL) / SMALL)


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
