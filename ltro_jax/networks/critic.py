"""Critics: body, optional memory and scalar head, as plain functions of stacked parameters."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, cast

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Key

from ltro_jax.networks.body import MLP
from ltro_jax.networks.features import BodyFactory, features, initial_hidden_of, make_modules
from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.networks.recurrent import Core
from ltro_jax.types import Array, Hidden, Params

HEAD_GAIN = 1.0


class CriticModule(nn.Module):
    """Body, optional memory and a scalar head."""

    body: nn.Module
    core: Core | None = None
    layer_norm: bool = True

    preserve_adopted_names: ClassVar[bool] = True  # flax: a core keeps the name of its class

    @nn.compact
    def __call__(
        self,
        state: Float[Array, "*batch G"],
        hidden: Hidden,
        start: Bool[Array, "*batch"] | None,
        state_mask: Bool[Array, "*#batch G"] | None,
    ) -> tuple[Float[Array, "*batch"], Hidden]:
        x, after = features(self.body, self.core, state, hidden, start, state_mask, self.layer_norm)
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
    core: type[Core] | None = None,
    layer_norm: bool = True,
    body: BodyFactory = MLP,
) -> Critic:
    """C critics with the given true input sizes, padded to the widest: 1 central critic or N local critics.

    The other arguments are those of `make_actor`.
    """
    modules = make_modules(body, core, hidden_sizes, layer_norm)
    module = CriticModule(modules.body, modules.core, layer_norm)
    initial_hidden = initial_hidden_of(modules.core)
    width = max(state_sizes)

    def init(key: Key[Array, ""]) -> Params:
        def init_one(key: Array) -> Params:
            return module.init(key, jnp.zeros((1, width)), initial_hidden(()), jnp.zeros(1, bool), None)

        return initial_stack(key, init_one, state_sizes, [1] * len(state_sizes), HEAD_GAIN, modules.custom)

    def unroll(
        params: Params, state: Array, hidden: Hidden, start: Array | None, state_mask: Array | None
    ) -> tuple[Array, Hidden]:
        return cast(tuple[Array, Hidden], module.apply(params, state, hidden, start, state_mask))

    return Critic(init, unroll, initial_hidden, core is not None)
