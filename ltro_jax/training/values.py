"""The values of the critics over a rollout."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from ltro_jax.networks import Critic
from ltro_jax.types import Array, Hidden, Params


class Values(NamedTuple):
    """Values of all critics; B counts the sequences of all agents if one critic values the state of each agent."""

    value: Float[Array, "C T B"]  # normalised units, V(s_t)
    next_value: Float[Array, "C T B"]  # normalised units, V(true next state)
    hidden: Hidden  # [C, T, B, H] before each step
    last_hidden: Hidden  # [C, B, H] after the last step


class Inputs(NamedTuple):
    """The arguments of one critic; see `values`."""

    params: Params
    state: Float[Array, "T B G"]
    next_state: Float[Array, "T B G"]
    state_mask: Bool[Array, "T B G"] | None
    hidden: Hidden  # [B, H]
    start: Bool[Array, "T B"]
    done: Bool[Array, "T B"]


def values(
    params: Params,
    state: Float[Array, "C T B G"],
    next_state: Float[Array, "C T B G"],
    state_mask: Bool[Array, "C T B G"] | None,
    hidden: Hidden,
    start: Bool[Array, "C T B"],
    done: Bool[Array, "C T B"],
    critic: Critic,
) -> Values:
    """Evaluate each critic on its input, in sequence, so that only one occupies memory.

    Args:
        params: leaves `[C, …]`.
        state_mask: entries of the states that exist; None = all.
        hidden: `[C, B, H]` before the first step.
        start, done: whether the step is the first or the last of an episode.
    """

    def feed_forward(inputs: Inputs) -> Values:
        value, next_value = (
            critic.unroll(inputs.params, x, (), None, inputs.state_mask)[0] for x in (inputs.state, inputs.next_state)
        )
        return Values(value, next_value, inputs.hidden, inputs.hidden)

    def recurrent(inputs: Inputs) -> Values:
        """Values the true next state with the hidden state after the step, before any reset."""
        params, state, next_state, state_mask, hidden, start, done = inputs
        state, next_state, state_mask, start = jax.tree.map(
            lambda x: x.swapaxes(0, 1), (state, next_state, state_mask, start)
        )  # [B, T, …]
        value, after = critic.unroll(params, state, hidden, start, state_mask)
        next_step, next_mask = next_state[:, :, None], None if state_mask is None else state_mask[:, :, None]
        next_value, _ = critic.unroll(params, next_step, after, jnp.zeros((*start.shape, 1), bool), next_mask)
        initial = critic.initial_hidden(done.shape)

        def kept(new: Array, leaf: Array) -> Array:
            leaf = leaf.swapaxes(0, 1)  # [T, B, …]
            return jnp.where(jnp.expand_dims(done, range(2, leaf.ndim)), new, leaf)

        after = jax.tree.map(kept, initial, after)
        before = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest[:-1]]), hidden, after)
        return Values(value.T, next_value[..., 0].T, before, jax.tree.map(lambda leaf: leaf[-1], after))

    evaluate = recurrent if critic.recurrent else feed_forward
    return jax.lax.map(evaluate, Inputs(params, state, next_state, state_mask, hidden, start, done))
