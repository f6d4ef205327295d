"""Collect T steps in B environments with the current policies of all agents."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key, Shaped

from ltro_jax.config import Hypers
from ltro_jax.distributions import sampling_noise
from ltro_jax.envs import step_and_reset
from ltro_jax.networks import apply_agents
from ltro_jax.ops import compensated_add
from ltro_jax.training.parts import Parts
from ltro_jax.types import Array, EpisodeTally, Hidden, RunnerState, TimeStep, Transition


class Episodes(NamedTuple):
    """Episodes and their ends, at each step."""

    ended: Bool[Array, "T B"]
    episode_return: Float[Array, "T B"]  # sum of the team rewards of the episode so far
    episode_length: Int[Array, "T B"]  # steps of the episode so far
    won: Bool[Array, "T B"] | None  # the step wins the episode; None if the task cannot be won


class Carry(NamedTuple):
    """What one environment step passes to the next; fields of `RunnerState`."""

    env_state: Any
    timestep: TimeStep
    actor_hidden: Hidden
    tally: EpisodeTally


def restarted(
    done: Bool[Array, " B"], new: Shaped[Array, " B *feature"], leaf: Shaped[Array, " B *feature"]
) -> Shaped[Array, " B *feature"]:
    """`new` where an episode is over, else `leaf`."""
    return jnp.where(done.reshape(-1, *[1] * (leaf.ndim - 1)), new, leaf)


def added(tally: EpisodeTally, reward: Float[Array, " B"]) -> EpisodeTally:
    """The tally after one more step."""
    sums = compensated_add(tally.episode_return, tally.return_rest, reward)
    return EpisodeTally(*sums, tally.episode_length + 1)


def new_tally(num_envs: int) -> EpisodeTally:
    """The tally of environments that all start an episode."""
    return EpisodeTally(jnp.zeros(num_envs), jnp.zeros(num_envs), jnp.zeros(num_envs, jnp.int32))


def rollout(
    key: Key[Array, ""], state: RunnerState, hypers: Hypers, parts: Parts
) -> tuple[RunnerState, Transition, Episodes]:
    """Act for T steps; an environment whose episode ends starts another episode.

    Returns:
        The state after the last step, the transitions `[T, B, …]`, and the episodes.
    """
    num_steps, num_envs = parts.static.rollout_length, parts.static.num_envs

    def act_and_step(carry: Carry, drawn: tuple[Array, Array]) -> tuple[Carry, tuple[Transition, Episodes]]:
        noise, env_keys = drawn
        step_keys, reset_keys = env_keys[:num_envs], env_keys[num_envs:]
        timestep = carry.timestep
        distribution, hidden = apply_agents(
            parts.actor,
            state.agents.params,
            timestep.observation,
            carry.actor_hidden,
            timestep.action_mask,
            parts.observation_mask,
            hypers,
        )
        action = distribution.perturbed(noise)
        env_state, next_timestep, outcome = step_and_reset(parts.env, step_keys, reset_keys, carry.env_state, action)
        tally = added(carry.tally, outcome.reward)
        transition = Transition(
            observation=timestep.observation,
            state=parts.critic_input.see(timestep),
            next_state=parts.critic_input.see(outcome),
            action=action,
            action_mask=timestep.action_mask,
            active_mask=timestep.active_mask,
            log_prob=distribution.log_prob(action),
            reward=outcome.reward,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            actor_hidden=carry.actor_hidden,
        )
        episodes = Episodes(outcome.done, tally.episode_return, tally.episode_length, outcome.won)
        new_hidden = parts.actor.initial_hidden((num_envs, parts.spec.num_agents))
        tally, hidden = jax.tree.map(
            functools.partial(restarted, outcome.done), (new_tally(num_envs), new_hidden), (tally, hidden)
        )
        return Carry(env_state, next_timestep, hidden, tally), (transition, episodes)

    carry = Carry(state.env_state, state.timestep, state.actor_hidden, state.tally)
    keys = jax.random.split(key, (num_steps, 2 * num_envs + 1))
    action_keys, env_keys = keys[:, 0], keys[:, 1:]
    spec = parts.spec
    shape = (num_envs, spec.num_agents, spec.action_size)
    # all steps at once: step by step is slow
    noise = jax.vmap(lambda step_key: sampling_noise(step_key, shape, spec.discrete))(action_keys)
    carry, (transitions, episodes) = jax.lax.scan(act_and_step, carry, (noise, env_keys))
    return state.replace(**carry._asdict()), transitions, episodes
