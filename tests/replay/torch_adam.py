"""Two details of the recording's optimizer, PyTorch's: its gradient clipping, and Adam's bias correction in float64."""

import math

import jax
import jax.numpy as jnp
import optax


def clip_by_global_norm(max_norm) -> optax.GradientTransformation:
    """Replace optax's: g · min(1, max_norm / (‖g‖ + 1e-6)). They differ by 1e-6 / ‖g‖ where they clip."""

    def clip(gradient, params=None):
        scale = jnp.minimum(1.0, max_norm / (optax.tree.norm(gradient) + 1e-6))
        return jax.tree.map(lambda leaf: leaf * scale, gradient)

    return optax.stateless(clip)


def bias_correction(moment, decay: float, count):
    """Replace optax's: m / (1 − βᵗ), which optax forms in float32 with a relative error of up to 3e-5."""
    divisor = -jnp.expm1(count * math.log(decay))
    return jax.tree.map(lambda leaf: leaf / divisor.astype(leaf.dtype), moment)
