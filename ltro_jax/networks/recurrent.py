"""The recurrent core: a gated recurrent unit over sequences in which episodes can start at any step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.networks.body import Body, LayerNorm
from ltro_jax.types import Array, Hidden


class GRU(nn.Module):
    """Gated recurrent unit; one matrix product transforms the inputs of the whole sequence.

        r = σ(W_ir x + b_r + W_hr h);  z = σ(W_iz x + b_z + W_hz h);  n = tanh(W_in x + b_in + r · (W_hn h + b_hn))
        h' = (1 − z) · n + z · h

    Args:
        hidden: the hidden state before the first step.
        start: True where an episode starts; the hidden state is set to zero before that step.
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
        inputs = x @ input_kernel
        inputs = inputs + jnp.broadcast_to(input_bias, inputs.shape)
        return scan_gates(inputs, hidden, start, recurrent_kernel, candidate_bias)


def scan_gates(
    inputs: Float[Array, "*batch L G"],
    hidden: Float[Array, "*batch H"],
    start: Bool[Array, "*batch L"],
    recurrent_kernel: Float[Array, "H G"],
    candidate_bias: Float[Array, " H"],
) -> Float[Array, "*batch L H"]:
    """The recurrence of `GRU`; `inputs` are those of the reset gate, the update gate and the candidate, G = 3H."""

    def step(
        hidden: Float[Array, "*batch H"], at: tuple[Float[Array, "*batch G"], Bool[Array, "*batch"]]
    ) -> tuple[Float[Array, "*batch H"], Float[Array, "*batch H"]]:
        from_input, starts = at
        hidden = jnp.where(starts[..., None], 0.0, hidden)
        reset_x, update_x, new_x = jnp.split(from_input, 3, axis=-1)
        reset_h, update_h, new_h = jnp.split(hidden @ recurrent_kernel, 3, axis=-1)
        reset, update = nn.sigmoid(reset_x + reset_h), nn.sigmoid(update_x + update_h)
        new = jnp.tanh(new_x + reset * (new_h + jnp.broadcast_to(candidate_bias, new_h.shape)))
        hidden = (1.0 - update) * new + update * hidden
        return hidden, hidden

    _, after = jax.lax.scan(step, hidden, (jnp.moveaxis(inputs, -2, 0), jnp.moveaxis(start, -1, 0)))
    return jnp.moveaxis(after, 0, -2)


def make_initial_hidden(width: int, core: type[nn.Module] | None) -> Callable[[tuple[int, ...]], Hidden]:
    """`batch_shape → hidden`: zeros `[…, H]`, or `()` without a core."""
    return lambda batch_shape: () if core is None else jnp.zeros((*batch_shape, width))


def features(
    x: Float[Array, "*batch I"],
    hidden: Hidden,
    start: Bool[Array, "*batch"] | None,
    input_mask: Bool[Array, "*#batch I"] | None,
    hidden_sizes: tuple[int, ...],
    core: type[nn.Module] | None,
    layer_norm: bool,
) -> tuple[Float[Array, "*batch H"], Hidden]:
    """The body, followed by the recurrent core and its LayerNorm if there is a `core`; call it in a compact module.

    Args:
        x: inputs; with a core, the last axis of the batch is the sequence L.
        hidden: without L: the hidden state `[…, H]` before the first step; `()` when feed-forward.
        start: as in `GRU`; None when feed-forward.
        input_mask: as in `Body`.
        core: class with the signature of `GRU`; None = feed-forward, and `hidden` is returned unchanged.
        layer_norm: whether to use LayerNorm.
    Returns:
        Features, and the hidden state after each step.
    """
    result: Array = Body(hidden_sizes, layer_norm, name="body")(x, input_mask)  # type: ignore[assignment]
    if core is None:
        return result, hidden
    after: Array = core(hidden_sizes[-1], name="gru")(result, hidden, start)  # type: ignore[call-arg,assignment]
    return LayerNorm(name="gru_norm")(after) if layer_norm else after, after  # type: ignore[return-value]
