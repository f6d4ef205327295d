"""The feature body shared by actor and critic: LayerNorm of the input, then [Dense, ReLU, LayerNorm] per layer."""

from flax import linen as nn

from ltro_jax.types import Array

LAYER_NORM_EPS = 1e-5


def layer_norm(name: str) -> nn.LayerNorm:
    """Two-pass LayerNorm (the one-pass variance loses digits that the ratio needs)."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPS, use_fast_variance=False, name=name)


class Body(nn.Module):
    """Features of an input vector.

    Args:
        x: `[…, I]` float32.
        input_mask: `[I]` bool marking the entries that exist, or None where all do. Padded entries count neither in
            the statistics of the input's LayerNorm nor in any gradient.
    Returns:
        `[…, H]` float32.
    Source: Le & Ta 2025, published implementation.
    """

    hidden_sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, input_mask: Array | None) -> Array:
        x = layer_norm("input_norm")(x, mask=input_mask)
        if input_mask is not None:
            x = x * input_mask
        for index, width in enumerate(self.hidden_sizes):
            x = nn.Dense(width, name=f"dense_{index}")(x)
            x = layer_norm(f"norm_{index}")(nn.relu(x))
        return x
