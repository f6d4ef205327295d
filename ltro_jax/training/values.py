"""The values of the critics over a rollout."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.networks import Critic
from ltro_jax.types import Array, Params


class Values(NamedTuple):
    """Critics over a rollout; B counts every agent's sequences where one critic values every agent's state."""

    value: Array  # [C, T, B] normalised units, V(s_t)
    next_value: Array  # [C, T, B] normalised units, V(true next state)
    hidden: Any  # [C, T, B, H] before each step, or ()
    last_hidden: Any  # [C, B, H] after the last step, or ()


def values(
    params: Params,
    state: Array,
    next_state: Array,
    state_mask: Array | None,
    hidden: Any,
    start: Array,
    done: Array,
    critic: Critic,
) -> Values:
    """Every critic on its own input, one after another (memory of one).

    Args:
        params: leaves `[C, …]`.
        state, next_state: `[C, T, B, G]`; `state_mask` likewise, bool, or None.
        hidden: `[C, B, H]` before the first step, or `()`.
        start, done: `[C, T, B]` bool, the step is the first or the last of an episode.
    """

    def feed_forward(inputs: tuple[Any, ...]) -> Values:
        params, state, next_state, state_mask, hidden, _, _ = inputs
        value, next_value = (critic.unroll(params, x, (), None, state_mask)[0] for x in (state, next_state))
        return Values(value, next_value, hidden, hidden)

    def recurrent(inputs: tuple[Any, ...]) -> Values:
        """The true next state is valued with the hidden state after the step, before any reset."""
        params, state, next_state, state_mask, hidden, start, done = inputs
        state, next_state, state_mask, start = jax.tree.map(
            lambda x: x.swapaxes(0, 1), (state, next_state, state_mask, start)
        )  # [B, T, …]
        value, after = critic.unroll(params, state, hidden, start, state_mask)
        of_one, mask_of_one = next_state[:, :, None], None if state_mask is None else state_mask[:, :, None]
        next_value, _ = critic.unroll(params, of_one, after, jnp.zeros((*start.shape, 1), bool), mask_of_one)
        initial = critic.initial_hidden(done.shape)

        def kept(new: Array, leaf: Array) -> Array:
            leaf = leaf.swapaxes(0, 1)  # [T, B, …]
            return jnp.where(jnp.expand_dims(done, range(2, leaf.ndim)), new, leaf)

        after = jax.tree.map(kept, initial, after)
        before = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest[:-1]]), hidden, after)
        return Values(value.T, next_value[..., 0].T, before, jax.tree.map(lambda leaf: leaf[-1], after))

    one = recurrent if critic.recurrent else feed_forward
    return jax.lax.map(one, (params, state, next_state, state_mask, hidden, start, done))
