"""Layer normalisation with an explicit derivative."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from ltro_jax.types import Array

LAYER_NORM_EPS = 1e-5


@jax.custom_jvp
def layer_norm(x: Float[Array, "*batch I"], mask: Bool[Array, "*#batch I"] | None = None) -> Float[Array, "*batch I"]:
    """Scale vectors to mean 0 and variance 1, without a learned scale or bias.

        y = (x − μ) / √(σ² + ε),   μ, σ² over the last axis (σ² in two passes; a single pass loses too many digits)
        dy = (dx − mean(dx) − y · mean(y · dx)) / √(σ² + ε)

    The explicit derivative needs two reductions; automatic differentiation would need six.

    Args:
        mask: True where the entry exists, in at least one entry of each vector; None = everywhere.
    Returns:
        The normalised vectors, 0 where an entry does not exist, whatever its value in `x`.
    Source: Ba et al. 2016.
    """
    return _normalised(x, _broadcast(mask, x))[0]


@layer_norm.defjvp
def _layer_norm_jvp(primals, tangents):
    (x, mask), (change, _) = primals, tangents
    mask = _broadcast(mask, x)
    y, inverse_deviation = _normalised(x, mask)
    return y, inverse_deviation * (_centred(change, mask) - y * _mean(y * change, mask))


def _broadcast(mask: Array | None, x: Array) -> Array | None:
    return None if mask is None else jnp.broadcast_to(mask, x.shape)


def _normalised(
    x: Float[Array, "*batch I"], mask: Bool[Array, "*batch I"] | None
) -> tuple[Float[Array, "*batch I"], Float[Array, "*batch 1"]]:
    """The normalised vectors, and 1/√(σ² + ε)."""
    deviation = _centred(x, mask)
    inverse_deviation = jax.lax.rsqrt(_mean(jnp.square(deviation), mask) + LAYER_NORM_EPS)
    return deviation * inverse_deviation, inverse_deviation


def _centred(x: Float[Array, "*batch I"], mask: Bool[Array, "*batch I"] | None) -> Float[Array, "*batch I"]:
    deviation = x - _mean(x, mask)
    return deviation if mask is None else jnp.where(mask, deviation, 0.0)


def _mean(x: Float[Array, "*batch I"], mask: Bool[Array, "*batch I"] | None) -> Float[Array, "*batch 1"]:
    return jnp.mean(x, axis=-1, keepdims=True, where=mask)
