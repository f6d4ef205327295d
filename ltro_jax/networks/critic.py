"""Critics: body, optional memory and scalar head, as plain functions of stacked parameters."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Key

from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.networks.recurrent import features, make_initial_hidden
from ltro_jax.types import Array, Hidden, Params

HEAD_GAIN = 1.0


class CriticModule(nn.Module):
    """Body, optional memory and a scalar head."""

    hidden_sizes: tuple[int, ...]
    core: type[nn.Module] | None = None
    layer_norm: bool = True

    @nn.compact
    def __call__(
        self,
        state: Float[Array, "*batch G"],
        hidden: Hidden,
        start: Bool[Array, "*batch"] | None,
        state_mask: Bool[Array, "*#batch G"] | None,
    ) -> tuple[Float[Array, "*batch"], Hidden]:
        x, after = features(state, hidden, start, state_mask, self.hidden_sizes, self.core, self.layer_norm)
        return nn.Dense(1, name="head")(x)[..., 0], after


class Critic(NamedTuple):
    """A critic as functions of the parameters of one critic; values in normalised units.

    init: `key → params` of C critics, leaves `[C, …]`.
    unroll: `(params, state, hidden, start, state_mask) → (value, hidden)`. Feed-forward: states `[…, G]` in any order.
        Recurrent: sequences `[…, L, G]` that begin with `hidden` `[…, H]`; an episode starts where `start` `[…, L]` is
        True, and the second result is the hidden state after each step `[…, L, H]`. `state_mask` is True where an entry
        of the state exists, None = everywhere.
    initial_hidden: `batch_shape → hidden` `[…, H]`, `()` when feed-forward.
    recurrent: whether the critic has a memory.
    """

    init: Callable[[Array], Params]
    unroll: Callable[[Params, Array, Hidden, Array | None, Array | None], tuple[Array, Hidden]]
    initial_hidden: Callable[[tuple[int, ...]], Hidden]
    recurrent: bool


def make_critic(
    state_sizes: Sequence[int],
    hidden_sizes: tuple[int, ...],
    core: type[nn.Module] | None = None,
    layer_norm: bool = True,
) -> Critic:
    """C critics with the given true input sizes, padded to the widest: 1 central critic or N local critics."""
    module = CriticModule(hidden_sizes, core, layer_norm)
    initial_hidden = make_initial_hidden(hidden_sizes[-1], core)
    width = max(state_sizes)

    def init(key: Key[Array, ""]) -> Params:
        template = jax.eval_shape(
            lambda k: module.init(k, jnp.zeros((1, width)), initial_hidden(()), jnp.zeros(1, bool), None), key
        )
        return initial_stack(key, template, state_sizes, [1] * len(state_sizes), HEAD_GAIN)

    def unroll(
        params: Params, state: Array, hidden: Hidden, start: Array | None, state_mask: Array | None
    ) -> tuple[Array, Hidden]:
        return cast(tuple[Array, Hidden], module.apply(params, state, hidden, start, state_mask))

    return Critic(init, unroll, initial_hidden, core is not None)
