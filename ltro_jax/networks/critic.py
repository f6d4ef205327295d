"""Critics: body, memory if any, and scalar head, as plain functions over parameter stacks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.networks.recurrent import features, make_initial_hidden
from ltro_jax.types import Array, Params

HEAD_GAIN = 1.0


class CriticModule(nn.Module):
    """Body, memory if any, and a scalar head."""

    hidden_sizes: tuple[int, ...]
    core: type[nn.Module] | None = None
    layer_norm: bool = True

    @nn.compact
    def __call__(self, state: Array, hidden: Any, start: Array | None, state_mask: Array | None) -> tuple[Array, Any]:
        x, after = features(state, hidden, start, state_mask, self.hidden_sizes, self.core, self.layer_norm)
        return nn.Dense(1, name="head")(x)[..., 0], after


class Critic(NamedTuple):
    """A critic as functions, with the parameters of one critic; values in normalised units.

    init: `key → params`, leaves `[C, …]`.
    unroll: `(params, state, hidden, start, state_mask or None) → (value, hidden)`; `state_mask` is bool, broadcastable
        to the state. Feed-forward: states `[…, G]`, in any order, values `[…]`. Recurrent: sequences `[…, L, G]` that
        set out from `hidden` `[…, H]`, where `start` `[…, L]` is True an episode starts; values `[…, L]` and the hidden
        state after each step `[…, L, H]`.
    initial_hidden: `batch_shape → hidden` `[…, H]`, `()` when feed-forward.
    recurrent: whether it has a memory.
    """

    init: Callable[[Array], Params]
    unroll: Callable[[Params, Array, Any, Array | None, Array | None], tuple[Array, Any]]
    initial_hidden: Callable[[tuple[int, ...]], Any]
    recurrent: bool


def make_critic(
    state_sizes: Sequence[int],
    hidden_sizes: tuple[int, ...],
    core: type[nn.Module] | None = None,
    layer_norm: bool = True,
) -> Critic:
    """C critics with the given true input sizes, padded to the widest: one for a central critic, N for local ones."""
    module = CriticModule(hidden_sizes, core, layer_norm)
    initial_hidden = make_initial_hidden(hidden_sizes[-1], core)
    width = max(state_sizes)

    def init(key: Array) -> Params:
        template = jax.eval_shape(
            lambda k: module.init(k, jnp.zeros((1, width)), initial_hidden(()), jnp.zeros(1, bool), None), key
        )
        return initial_stack(key, template, state_sizes, [1] * len(state_sizes), HEAD_GAIN)

    def unroll(params, state, hidden, start, state_mask):
        return cast(tuple[Array, Any], module.apply(params, state, hidden, start, state_mask))

    return Critic(init, unroll, initial_hidden, core is not None)
