"""Critics: body and scalar head, as plain functions over parameter stacks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ltro_jax.networks.body import Body
from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.types import Array, Params

HEAD_GAIN = 1.0


class CriticModule(nn.Module):
    """Body and a scalar head."""

    hidden_sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, state: Array, state_mask: Array | None) -> Array:
        features = Body(self.hidden_sizes, name="body")(state, state_mask)
        return nn.Dense(1, name="head")(features)[..., 0]


class Critic(NamedTuple):
    """A critic as functions.

    init: `(key, after) → params`, leaves `[C, …]`; `after` is a scalar to be known first, see `initialisers`.
    apply: `(params, state […, G], state_mask [G] or None) → value […]`, normalised units, with one critic's parameters.
    """

    init: Callable[[Array, Array], Params]
    apply: Callable[[Params, Array, Array | None], Array]


def make_critic(state_sizes: Sequence[int], hidden_sizes: tuple[int, ...]) -> Critic:
    """C critics with the given true input sizes, padded to the widest: one for a central critic, N for local ones."""
    module = CriticModule(hidden_sizes)
    example = jax.ShapeDtypeStruct((max(state_sizes),), jnp.float32)

    def init(key: Array, after: Array) -> Params:
        template = jax.eval_shape(lambda k, x: module.init(k, x, None), key, example)
        return initial_stack(key, template, state_sizes, [1] * len(state_sizes), HEAD_GAIN, after)

    return Critic(init, module.apply)  # type: ignore[arg-type]


def apply_critics(critic: Critic, params: Params, state: Array, state_mask: Array | None) -> Array:
    """Every critic on its own input, one after another (memory of one), for the return computation.

    Args:
        params: leaves `[C, …]`.
        state: `[C, …, G]` float32; `state_mask` `[C, G]` bool or None.
    Returns:
        `[C, …]` float32, normalised units.
    """
    return jax.lax.map(lambda inputs: critic.apply(*inputs), (params, state, state_mask))
