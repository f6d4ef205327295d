"""The default body of actor and critic: LayerNorm of the input, then [Dense, ReLU, LayerNorm] per layer."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.ops import layer_norm
from ltro_jax.types import Array


class LayerNorm(nn.Module):
    """`ops.layer_norm` with a learned scale and bias for each entry; returns the bias where an entry does not exist."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch I"], mask: Bool[Array, "*#batch I"] | None = None
    ) -> Float[Array, "*batch I"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        result = layer_norm(x, mask)
        return result * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(bias, x.shape)


class MLP(nn.Module):
    """Features of an input vector.

    Args:
        input_mask: True where an entry exists; None = everywhere. Padded entries influence neither the statistics of
            the input's LayerNorm nor any gradient.
    Source: Le & Ta 2025, published implementation. Without LayerNorm it is a plain multilayer perceptron.
    """

    hidden_sizes: tuple[int, ...]
    layer_norm: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch I"], input_mask: Bool[Array, "*#batch I"] | None
    ) -> Float[Array, "*batch H"]:
        if self.layer_norm:
            x = LayerNorm(name="input_norm")(x, input_mask)  # type: ignore[assignment]
        if input_mask is not None:
            x = x * jnp.broadcast_to(input_mask, x.shape)
        for index, width in enumerate(self.hidden_sizes):
            x = nn.relu(nn.Dense(width, name=f"dense_{index}")(x))
            if self.layer_norm:
                x = LayerNorm(name=f"norm_{index}")(x)  # type: ignore[assignment]
        return x
