"""The recurrent core: a gated recurrent unit over sequences, with resets inside them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.networks.body import Body, LayerNorm
from ltro_jax.types import Array


class GRU(nn.Module):
    """Gated recurrent unit; the product with the inputs is taken once for the whole sequence.

        r = σ(W_ir x + b_r + W_hr h);  z = σ(W_iz x + b_z + W_hz h);  n = tanh(W_in x + b_in + r · (W_hn h + b_hn))
        h' = (1 − z) · n + z · h

    Args:
        hidden: before the first step.
        start: where True an episode starts, and the hidden state is zeroed before the step.
    Returns:
        The hidden state after each step.
    Source: Cho et al. 2014; the gates of `flax.linen.GRUCell`.
    """

    width: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch L I"], hidden: Float[Array, "*batch H"], start: Bool[Array, "*batch L"]
    ) -> Float[Array, "*batch L H"]:
        gates = 3 * self.width
        input_kernel = self.param("input_kernel", nn.initializers.zeros, (x.shape[-1], gates))
        input_bias = self.param("input_bias", nn.initializers.zeros, (gates,))
        recurrent_kernel = self.param("recurrent_kernel", nn.initializers.zeros, (self.width, gates))
        candidate_bias = self.param("candidate_bias", nn.initializers.zeros, (self.width,))
        return scan_gates(x @ input_kernel + input_bias, hidden, start, recurrent_kernel, candidate_bias)


def scan_gates(
    inputs: Float[Array, "*batch L G"],
    hidden: Float[Array, "*batch H"],
    start: Bool[Array, "*batch L"],
    recurrent_kernel: Float[Array, "H G"],
    candidate_bias: Float[Array, " H"],
) -> Float[Array, "*batch L H"]:
    """The recurrence over `inputs` (reset, update, new: G = 3H); see `GRU`."""

    def step(hidden: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        from_input, starts = at
        hidden = jnp.where(starts[..., None], 0.0, hidden)
        reset_x, update_x, new_x = jnp.split(from_input, 3, axis=-1)
        reset_h, update_h, new_h = jnp.split(hidden @ recurrent_kernel, 3, axis=-1)
        reset, update = nn.sigmoid(reset_x + reset_h), nn.sigmoid(update_x + update_h)
        new = jnp.tanh(new_x + reset * (new_h + candidate_bias))
        hidden = (1.0 - update) * new + update * hidden
        return hidden, hidden

    _, after = jax.lax.scan(step, hidden, (jnp.moveaxis(inputs, -2, 0), jnp.moveaxis(start, -1, 0)))
    return jnp.moveaxis(after, 0, -2)


def make_initial_hidden(width: int, core: type[nn.Module] | None) -> Callable[[tuple[int, ...]], Any]:
    """`batch_shape → hidden` `[…, H]` float32 zeros; `()` without a core."""
    return lambda batch_shape: () if core is None else jnp.zeros((*batch_shape, width))


def features(
    x: Array,
    hidden: Array | tuple[()],
    start: Array | None,
    input_mask: Array | None,
    hidden_sizes: tuple[int, ...],
    core: type[nn.Module] | None,
    layer_norm: bool,
) -> tuple[Array, Array | tuple[()]]:
    """Body, and where there is a `core` its memory with a LayerNorm of its own; to be called within a compact module.

    Args:
        x: `[…, I]`; with a core `[…, L, I]`, with `hidden` `[…, H]` and `start` `[…, L]`.
        input_mask: bool, broadcastable to `x`, entries that exist; None = all.
        core: module with the call of `GRU`; None = feed-forward, `hidden` passes through.
        layer_norm: False leaves every LayerNorm out.
    Returns:
        Features as `x` with H last, and the hidden state after each step `[…, L, H]`.
    """
    result: Array = Body(hidden_sizes, layer_norm, name="body")(x, input_mask)  # type: ignore[assignment]
    if core is None:
        return result, hidden
    after: Array = core(hidden_sizes[-1], name="gru")(result, hidden, start)  # type: ignore[call-arg,assignment]
    return LayerNorm(name="gru_norm")(after) if layer_norm else after, after  # type: ignore[return-value]
