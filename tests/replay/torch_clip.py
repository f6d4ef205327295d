"""The gradient clipping of the recording: PyTorch's, which adds 1e-6 to the norm."""

import jax
import jax.numpy as jnp
import optax


def clip_by_global_norm(max_norm) -> optax.GradientTransformation:
    """Stands in for optax's: g · min(1, max_norm / (‖g‖ + 1e-6)). They differ by 1e-6 / ‖g‖ where they clip."""

    def clip(gradient, params=None):
        scale = jnp.minimum(1.0, max_norm / (optax.tree.norm(gradient) + 1e-6))
        return jax.tree.map(lambda leaf: leaf * scale, gradient)

    return optax.stateless(clip)
