"""The controlled measurement: two policies held fixed, fresh actions of the old one, situations frozen.

In training a new policy is fitted to the very samples on which its factor is then averaged. Here π' comes from one
update or more, and the factor R of π' against π is looked at on actions that the update never saw, in situations where
the moments of R are known exactly.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.config import Hypers
from ltro_jax.networks import apply_agents
from ltro_jax.ops import denormalise
from ltro_jax.training.iteration import iterate
from ltro_jax.training.parts import Parts
from ltro_jax.training.rollout import new_tally, rollout
from ltro_jax.types import Array, RunnerState

MAX_JOINT_ACTIONS = 4096


class Situations(NamedTuple):
    """F frozen moments of play: what is needed to act, and to step on, leaves `[F, …]`."""

    env_state: Any
    timestep: Any
    actor_hidden: Any


class Draws(NamedTuple):
    """K fresh samples, and the exact moments they should have; prefixes count the agents m = 0 … N before."""

    log_second: Array  # [F, N+1] log Π_k E_π[r_k²] in each situation
    log_fourth: Array  # [F, N+1] log Π_k E_π[r_k⁴]
    situation: Array  # [K] int32, which one
    log_factor: Array  # [K, N+1] log R_{1:m}
    joint_action: Array | None  # [K] int32, column of `Enumeration`; None where that is impossible


class Enumeration(NamedTuple):
    """Every joint action in every situation, in the order of `joint_action`."""

    log_joint: Array  # [F, J] log π(a|s)
    log_factor: Array  # [F, J, N+1]
    advantage: Array  # [F, J], E_π[A(s, ·)] = 0


def enumerable(parts: Parts) -> bool:
    """Whether joint actions can be enumerated and valued: few, discrete, and one feed-forward critic of the state."""
    spec = parts.spec
    return (
        spec.discrete
        and spec.action_size**spec.num_agents <= MAX_JOINT_ACTIONS
        and parts.critic_input.enumerable
        and not parts.critic.recurrent
    )


def make_controlled(
    parts: Parts, num_situations: int, num_draws: int, num_updates: int = 1
) -> Callable[..., tuple[Draws, Any]]:
    """`(key, state, hypers) → (Draws, Enumeration or None)`, pure and jittable.

    Args:
        num_situations: F, visited by π, one in each of F environments.
        num_draws: K.
        num_updates: iterations from π to π'; the agents count in the order of the last.
    """

    def controlled(key: Array, state: RunnerState, hypers: Hypers) -> tuple[Draws, Any]:
        visit_key, draw_key, step_key = jax.random.split(key, 3)
        after, metrics = jax.lax.scan(lambda at, _: iterate(at, hypers, parts), state, length=num_updates)
        order = metrics.position["agent_order"][-1]
        frozen = visited(visit_key, state, hypers, parts, num_situations)

        def policies(params: Any) -> Any:
            timestep = frozen.timestep
            inputs = timestep.observation, frozen.actor_hidden, timestep.action_mask, parts.observation_mask
            return apply_agents(parts.actor, params, *inputs, hypers)[0]

        old, new = policies(state.agents.params), policies(after.agents.params)

        def prefixes(per_agent: Array) -> Array:
            """Sums over the first 0 … N agents of the order, `[…, N]` → `[…, N+1]`."""
            return jnp.pad(jnp.cumsum(per_agent[..., order], axis=-1), [(0, 0)] * (per_agent.ndim - 1) + [(1, 0)])

        situation_key, action_key = jax.random.split(draw_key)
        situation = jax.random.randint(situation_key, (num_draws,), 0, num_situations)
        own_old, own_new = jax.tree.map(lambda leaf: leaf[situation], (old, new))
        action = own_old.sample(action_key)
        draws = Draws(
            log_second=prefixes(old.log_ratio_moment(new, 2)),
            log_fourth=prefixes(old.log_ratio_moment(new, 4)),
            situation=situation,
            log_factor=prefixes(own_new.log_prob(action) - own_old.log_prob(action)),
            joint_action=None,
        )
        if not enumerable(parts):
            return draws, None
        table = joint_actions(parts)
        weights = parts.spec.action_size ** jnp.arange(parts.spec.num_agents)[::-1]
        log_old, log_new = (jax.vmap(lambda a, d=d: d.log_prob(a[None]), out_axes=1)(table) for d in (old, new))
        log_joint = jnp.sum(log_old, axis=-1)
        value = action_values(step_key, frozen, table, state, hypers, parts)
        advantage = value - jnp.sum(jnp.exp(log_joint) * value, axis=-1, keepdims=True)
        return (
            draws._replace(joint_action=jnp.sum(action * weights[None], axis=-1)),
            Enumeration(log_joint, prefixes(log_new - log_old), advantage),
        )

    return controlled


def visited(key: Array, state: RunnerState, hypers: Hypers, parts: Parts, num_situations: int) -> Situations:
    """One moment from each of F environments under π, at a time drawn uniformly within an episode or a rollout."""
    reset_key, time_key, play_key = jax.random.split(key, 3)
    single = parts._replace(static=replace(parts.static, num_envs=num_situations, rollout_length=1))
    env_state, timestep = jax.vmap(parts.env.reset)(jax.random.split(reset_key, num_situations))
    playing = state.replace(
        env_state=env_state,
        timestep=timestep,
        actor_hidden=parts.actor.initial_hidden((num_situations, parts.spec.num_agents)),
        tally=new_tally(num_situations),
    )
    horizon = min(parts.spec.episode_length, parts.static.rollout_length)
    chosen = jax.random.randint(time_key, (num_situations,), 0, horizon)

    def now(playing: RunnerState) -> Situations:
        return Situations(playing.env_state, playing.timestep, playing.actor_hidden)

    def step(carry: tuple[RunnerState, Situations], inputs: tuple[Array, Array]) -> tuple[Any, None]:
        playing, kept = carry
        time, step_key = inputs
        here = chosen == time
        kept = jax.tree.map(
            lambda new, old: jnp.where(here.reshape(-1, *[1] * (new.ndim - 1)), new, old), now(playing), kept
        )
        return (rollout(step_key, playing, hypers, single)[0], kept), None

    inputs = jnp.arange(horizon), jax.random.split(play_key, horizon)
    return jax.lax.scan(step, (playing, now(playing)), inputs)[0][1]


def joint_actions(parts: Parts) -> Array:
    """`[J, N]` int32, the first agent's action most significant."""
    spec = parts.spec
    return jnp.asarray(np.indices((spec.action_size,) * spec.num_agents).reshape(spec.num_agents, -1).T, jnp.int32)


def action_values(
    key: Array, frozen: Situations, table: Array, state: RunnerState, hypers: Hypers, parts: Parts
) -> Array:
    """Q(s, a) = r + γ V(s') by stepping every joint action once from each situation; `[F, J]`.

    A situation keeps one key for all its actions, so that chance in the environment does not tell them apart.
    """
    critic = jax.tree.map(lambda leaf: leaf[0], state.critic)

    def of_one(inputs: tuple[Any, Array]) -> Array:
        env_state, step_key = inputs
        _, outcome = jax.vmap(parts.env.step, in_axes=(None, None, 0))(step_key, env_state, table)
        value, _ = parts.critic.unroll(critic.params, outcome.state, (), None, None)
        return outcome.reward + jnp.where(outcome.terminated, 0.0, hypers.gamma * denormalise(critic.value_norm, value))

    keys = jax.random.split(key, len(frozen.timestep.reward))
    return jax.lax.map(of_one, (frozen.env_state, keys))
