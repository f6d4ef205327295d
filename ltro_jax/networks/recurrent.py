"""Recurrent cores over sequences in which episodes can start at any step: the contract, a GRU and an LSTM."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.types import Array, Hidden


class Core(nn.Module):
    """The contract of a recurrent core; derive a class from it.

    Class attributes:
        module_name: name of the core's parameters; a core from outside the package keeps the default.
    Fields:
        width: H, the last of `hidden_sizes`.
    """

    width: int

    module_name: ClassVar[str] = "core"

    def initial_hidden(self, batch_shape: tuple[int, ...]) -> Hidden:
        """The hidden state at the start of an episode: any pytree of arrays `[*batch_shape, …]`."""
        raise NotImplementedError

    def __call__(
        self, x: Float[Array, "*batch L I"], hidden: Hidden, start: Bool[Array, "*batch L"]
    ) -> tuple[Float[Array, "*batch L F"], Hidden]:
        """Run over sequences of L steps.

        Args:
            x: features of the body.
            hidden: before the first step, leaves `[*batch, …]`.
            start: True where an episode starts; the core sets the hidden state to its initial value before that step.
        Returns:
            The output of each step, and the hidden state after each step, leaves `[*batch, L, …]`.
        """
        raise NotImplementedError


class GRU(Core):
    """Gated recurrent unit; one matrix product transforms the inputs of the whole sequence.

        r = σ(W_ir x + b_r + W_hr h);  z = σ(W_iz x + b_z + W_hz h);  n = tanh(W_in x + b_in + r · (W_hn h + b_hn))
        h' = (1 − z) · n + z · h

    The hidden state `[…, H]` starts at zero and is the output.

    Source: Cho et al. 2014; the gates of `flax.linen.GRUCell`.
    """

    module_name: ClassVar[str] = "gru"

    def initial_hidden(self, batch_shape: tuple[int, ...]) -> Float[Array, "..."]:
        return jnp.zeros((*batch_shape, self.width))

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch L I"], hidden: Float[Array, "*batch H"], start: Bool[Array, "*batch L"]
    ) -> tuple[Float[Array, "*batch L H"], Float[Array, "*batch L H"]]:
        gates = 3 * self.width
        input_kernel = self.param("input_kernel", nn.initializers.zeros, (x.shape[-1], gates))
        input_bias = self.param("input_bias", nn.initializers.zeros, (gates,))
        recurrent_kernel = self.param("recurrent_kernel", nn.initializers.zeros, (self.width, gates))
        candidate_bias = self.param("candidate_bias", nn.initializers.zeros, (self.width,))
        inputs = x @ input_kernel
        inputs = inputs + jnp.broadcast_to(input_bias, inputs.shape)
        after = scan_gates(inputs, hidden, start, recurrent_kernel, candidate_bias)
        return after, after


def scan_gates(
    inputs: Float[Array, "*batch L G"],
    hidden: Float[Array, "*batch H"],
    start: Bool[Array, "*batch L"],
    recurrent_kernel: Float[Array, "H G"],
    candidate_bias: Float[Array, " H"],
) -> Float[Array, "*batch L H"]:
    """The recurrence of `GRU`; `inputs` are those of the reset gate, the update gate and the candidate, G = 3H."""

    def step(hidden: Float[Array, "*batch H"], from_input: Float[Array, "*batch G"]) -> Float[Array, "*batch H"]:
        reset_x, update_x, new_x = jnp.split(from_input, 3, axis=-1)
        reset_h, update_h, new_h = jnp.split(hidden @ recurrent_kernel, 3, axis=-1)
        reset, update = nn.sigmoid(reset_x + reset_h), nn.sigmoid(update_x + update_h)
        new = jnp.tanh(new_x + reset * (new_h + jnp.broadcast_to(candidate_bias, new_h.shape)))
        return (1.0 - update) * new + update * hidden

    return scan_sequence(step, inputs, hidden, start)


class LSTM(Core):
    """Long short-term memory; one matrix product transforms the inputs of the whole sequence.

        i = σ(W_ii x + W_hi h + b_i);  f = σ(W_if x + W_hf h + b_f);  g = tanh(W_ig x + W_hg h + b_g)
        o = σ(W_io x + W_ho h + b_o);  c' = f · c + i · g;  h' = o · tanh(c')

    The hidden state is the pair (c, h), each `[…, H]`; both start at zero, and h is the output.

    Source: Hochreiter & Schmidhuber 1997, Gers et al. 2000; the gates of `flax.linen.LSTMCell`.
    """

    module_name: ClassVar[str] = "lstm"

    def initial_hidden(self, batch_shape: tuple[int, ...]) -> tuple[Array, Array]:
        return jnp.zeros((*batch_shape, self.width)), jnp.zeros((*batch_shape, self.width))

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch L I"], hidden: tuple[Array, Array], start: Bool[Array, "*batch L"]
    ) -> tuple[Float[Array, "*batch L H"], tuple[Array, Array]]:
        gates = 4 * self.width
        input_kernel = self.param("input_kernel", nn.initializers.zeros, (x.shape[-1], gates))
        input_bias = self.param("input_bias", nn.initializers.zeros, (gates,))
        recurrent_kernel = self.param("recurrent_kernel", nn.initializers.zeros, (self.width, gates))
        inputs = x @ input_kernel
        inputs = inputs + jnp.broadcast_to(input_bias, inputs.shape)

        def step(hidden: tuple[Array, Array], from_input: Array) -> tuple[Array, Array]:
            cell, output = hidden
            take_in, forget, new, put_out = jnp.split(from_input + output @ recurrent_kernel, 4, axis=-1)
            cell = nn.sigmoid(forget) * cell + nn.sigmoid(take_in) * jnp.tanh(new)
            return cell, nn.sigmoid(put_out) * jnp.tanh(cell)

        after = scan_sequence(step, inputs, hidden, start)
        return after[1], after


def scan_sequence(
    step: Callable[[Any, Array], Any],
    inputs: Float[Array, "*batch L G"],
    hidden: Hidden,
    start: Bool[Array, "*batch L"],
) -> Hidden:
    """Run `step(hidden, inputs of one step) → hidden` over sequences; where an episode starts, `hidden` is set to zero.

    Returns:
        The hidden state after each step: the leaves `[*batch, …]` of `hidden` with L after the batch.
    """
    axis = start.ndim - 1

    def at_step(hidden: Any, at: tuple[Array, Array]) -> tuple[Any, Any]:
        from_input, starts = at

        def reset(leaf: Array) -> Array:
            return jnp.where(jnp.expand_dims(starts, range(axis, leaf.ndim)), jnp.zeros((), leaf.dtype), leaf)

        hidden = step(jax.tree.map(reset, hidden), from_input)
        return hidden, hidden

    _, after = jax.lax.scan(at_step, hidden, (jnp.moveaxis(inputs, -2, 0), jnp.moveaxis(start, -1, 0)))
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, axis), after)
