"""The feature body shared by actor and critic: LayerNorm of the input, then [Dense, ReLU, LayerNorm] per layer."""

from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.ops import layer_norm
from ltro_jax.types import Array


class LayerNorm(nn.Module):
    """`ops.layer_norm` with a scale and a bias for each entry.

    Args:
        mask: as in `ops.layer_norm`.
    Returns:
        The bias where an entry does not exist.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch I"], mask: Bool[Array, "*#batch I"] | None = None
    ) -> Float[Array, "*batch I"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return layer_norm(x, mask) * scale + bias


class Body(nn.Module):
    """Features of an input vector.

    Args:
        input_mask: marks the entries that exist; None where all do. Padded entries count neither in the statistics of
            the input's LayerNorm nor in any gradient.
    Source: Le & Ta 2025, published implementation; without LayerNorms a plain multilayer perceptron.
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
            x = x * input_mask
        for index, width in enumerate(self.hidden_sizes):
            x = nn.relu(nn.Dense(width, name=f"dense_{index}")(x))
            if self.layer_norm:
                x = LayerNorm(name=f"norm_{index}")(x)  # type: ignore[assignment]
        return x
