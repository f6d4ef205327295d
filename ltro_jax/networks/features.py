"""The features of actor and critic: a body, and an optional recurrent core."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.networks.body import MLP, LayerNorm
from ltro_jax.networks.recurrent import GRU, LSTM, Core
from ltro_jax.types import Array, Hidden

BodyFactory = Callable[[tuple[int, ...]], nn.Module]
"""`hidden_sizes → module`, a flax module `(x, mask) → features`.

x: `[…, O]` float32 with any leading axes: an observation, or the input of a critic.
mask: bool of the shape of x, True where an entry exists; None = everywhere. Entries that do not exist are 0.
features: `[…, F]` floating-point, with the leading axes of x and any F.

The module draws its parameters with its own initialisers, at the padded width O if agents have observations of
different sizes. It may have no other variables than parameters and needs no random numbers when it is applied.
"""


class Modules(NamedTuple):
    """The parts of a network below its head."""

    body: nn.Module
    core: Core | None
    custom: frozenset[str]  # names of those that draw their own initial parameters


def make_modules(
    body: BodyFactory, core: type[Core] | None, hidden_sizes: tuple[int, ...], layer_norm: bool
) -> Modules:
    """Body and core under the names of their parameters; `layer_norm` is an option of the `MLP` alone."""
    module = MLP(hidden_sizes, layer_norm) if body is MLP else body(hidden_sizes)
    memory = None if core is None else core(hidden_sizes[-1], name=core.module_name)
    custom = {"body"} if body is not MLP else set()
    if memory is not None and memory.name not in (GRU.module_name, LSTM.module_name):
        custom.add(str(memory.name))
    return Modules(module.clone(name="body"), memory, frozenset(custom))


def initial_hidden_of(core: Core | None) -> Callable[[tuple[int, ...]], Hidden]:
    """`batch_shape → hidden`: the initial state of the core, or `()` without a core."""
    return lambda batch_shape: () if core is None else core.initial_hidden(batch_shape)


def features(
    body: nn.Module,
    core: Core | None,
    x: Float[Array, "*batch I"],
    hidden: Hidden,
    start: Bool[Array, "*batch"] | None,
    input_mask: Bool[Array, "*#batch I"] | None,
    layer_norm: bool,
) -> tuple[Float[Array, "*batch F"], Hidden]:
    """The body, followed by the core and its LayerNorm if there is a `core`; call it in a compact module.

    Args:
        x: inputs; with a core, the last axis of the batch is the sequence L.
        hidden: without L: the hidden state before the first step; `()` when feed-forward.
        start: as in `Core`; None when feed-forward.
        input_mask: True where an entry exists; None = everywhere. Padded entries influence nothing.
        layer_norm: whether LayerNorm follows the core.
    Returns:
        Features, and the hidden state after each step; without a core, `hidden` unchanged.
    """
    if input_mask is not None and not isinstance(body, MLP):
        input_mask = jnp.broadcast_to(input_mask, x.shape)
        x = jnp.where(input_mask, x, 0.0)
    result: Array = body(x, input_mask)
    if core is None:
        return result, hidden
    output, after = core(result, hidden, start)  # type: ignore[arg-type]
    return LayerNorm(name=f"{core.name}_norm")(output) if layer_norm else output, after  # type: ignore[return-value]
