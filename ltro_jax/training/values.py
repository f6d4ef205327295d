"""What the critics say of a rollout, and the arrangement of their inputs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.training.parts import Parts
from ltro_jax.types import Array, Params


class Values(NamedTuple):
    """Critics over a rollout; B counts every agent's sequences where one critic values every agent's state."""

    value: Array  # [C, T, B] normalised units, V(s_t)
    next_value: Array  # [C, T, B] normalised units, V(true next state)
    hidden: Any  # [C, T, B, H] before each step, or ()
    last_hidden: Any  # [C, B, H] to go on from, or ()


def agent_major(x: Array) -> Array:
    """`[T, B, N, …]` → `[N, T, B, …]`."""
    return jnp.moveaxis(x, 2, 0)


def critic_major(x: Array, parts: Parts) -> Array:
    """What concerns the critics' inputs, to one row for each critic, `[C, T, B, …]`.

    Args:
        x: `[T, B, …]` for a critic of the shared state, else `[T, B, N, …]`.
    """
    if parts.critic_input == "agent_state":
        return x.reshape(1, x.shape[0], -1, *x.shape[3:])
    return agent_major(x) if parts.critic_input == "observation" else x[None]


def of_agents(value: Array, parts: Parts) -> Array:
    """The critics' figures `[C, T, B]` to `[N, T, B]`, or to `[1, T, B]` where all agents have the same."""
    if parts.critic_input != "agent_state":
        return value
    return agent_major(value.reshape(value.shape[1], -1, parts.spec.num_agents))


def of_critics(value: Array, parts: Parts) -> Array:
    """The inverse of `of_agents`."""
    if parts.critic_input != "agent_state":
        return value
    return critic_major(jnp.moveaxis(value, 0, 2), parts)


def values(
    params: Params,
    state: Array,
    next_state: Array,
    state_mask: Array | None,
    hidden: Any,
    start: Array,
    done: Array,
    parts: Parts,
) -> Values:
    """Every critic on its own input, one after another (memory of one).

    Args:
        params: leaves `[C, …]`.
        state, next_state: `[C, T, B, G]`; `state_mask` likewise, bool, or None.
        hidden: `[C, B, H]` before the first step, or `()`.
        start, done: `[C, T, B]` bool, the step is the first or the last of an episode.
    """
    critic = parts.critic

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
        after = after.swapaxes(0, 1)  # [T, B, H]
        kept = jnp.where(done[..., None], 0.0, after)
        before = jnp.concatenate([hidden[None], kept[:-1]])
        return Values(value.T, next_value[..., 0].T, before, kept[-1])

    one = recurrent if critic.recurrent else feed_forward
    return jax.lax.map(one, (params, state, next_state, state_mask, hidden, start, done))
