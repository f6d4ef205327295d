"""Layer normalisation with its derivative written out."""

import jax
import jax.numpy as jnp

from ltro_jax.types import Array

LAYER_NORM_EPS = 1e-5


@jax.custom_jvp
def layer_norm(x: Array, mask: Array | None = None) -> Array:
    """Vectors with mean 0 and variance 1, before any scale and bias.

        y = (x − μ) / √(σ² + ε),   μ, σ² over the last axis (σ² in two passes: one loses digits that the ratio needs)
        dy = (dx − mean(dx) − y · mean(y · dx)) / √(σ² + ε)

    Given to JAX in this form, the derivative takes two reductions instead of the six that it finds by itself.

    Args:
        x: `[…, I]` float32.
        mask: bool, broadcastable to `x`, True = the entry exists; None = all do. At least one in each vector does.
    Returns:
        `[…, I]` float32, 0 at entries that do not exist, whatever `x` is there.
    Source: Ba et al. 2016.
    """
    return _normalised(x, mask)[0]


@layer_norm.defjvp
def _layer_norm_jvp(primals, tangents):
    (x, mask), (change, _) = primals, tangents
    y, inverse_deviation = _normalised(x, mask)
    return y, inverse_deviation * (_centred(change, mask) - y * _mean(y * change, mask))


def _normalised(x: Array, mask: Array | None) -> tuple[Array, Array]:
    """The result, and 1/√(σ² + ε) `[…, 1]`."""
    deviation = _centred(x, mask)
    inverse_deviation = jax.lax.rsqrt(_mean(jnp.square(deviation), mask) + LAYER_NORM_EPS)
    return deviation * inverse_deviation, inverse_deviation


def _centred(x: Array, mask: Array | None) -> Array:
    deviation = x - _mean(x, mask)
    return deviation if mask is None else jnp.where(mask, deviation, 0.0)


def _mean(x: Array, mask: Array | None) -> Array:
    """`[…, I]` → `[…, 1]`."""
    where = None if mask is None else jnp.broadcast_to(mask, x.shape)
    return jnp.mean(x, axis=-1, keepdims=True, where=where)
