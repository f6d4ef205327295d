"""The controlled measurement: two fixed policies, fresh actions of the old policy, fixed situations.

In training, a new policy is fitted to the same samples on which its factor is then averaged. Here π' is π after one or
more updates, and the factor R of π' against π is measured on actions that the update did not see, in situations where
the moments of R are known exactly.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.distributions import Distribution
from ltro_jax.laboratories.games.policies import joint_actions
from ltro_jax.networks import apply_agents
from ltro_jax.ops import denormalise
from ltro_jax.training.iteration import iterate
from ltro_jax.training.parts import Parts
from ltro_jax.training.rollout import new_tally, rollout
from ltro_jax.types import AgentState, Array, RunnerState, TimeStep

MAX_JOINT_ACTIONS = 4096


class Situations(NamedTuple):
    """F fixed moments of play, with everything that acting and stepping need; leaves `[F, …]`."""

    env_state: Any
    timestep: TimeStep
    actor_hidden: Any


class Draws(NamedTuple):
    """K fresh samples and their exact moments; the axis N+1 is the number of preceding agents, m = 0 … N."""

    log_second: Array  # [F, N+1] log Π_k E_π[r_k²] in each situation
    log_fourth: Array  # [F, N+1] log Π_k E_π[r_k⁴]
    situation: Array  # [K] int32, index of the situation
    log_factor: Array  # [K, N+1] log R_{1:m}
    joint_action: Array | None  # [K] int32, column of `Enumeration`; None if actions cannot be enumerated


class Enumeration(NamedTuple):
    """Every joint action in every situation, in the order of `joint_action`."""

    log_joint: Array  # [F, J] log π(a|s)
    log_factor: Array  # [F, J, N+1]
    advantage: Array  # [F, J], E_π[A(s, ·)] = 0


Measurement = Callable[[Array, RunnerState, Hypers], tuple[Draws, Enumeration | None]]


def enumerable(parts: Parts) -> bool:
    """Whether joint actions can be enumerated and valued: few, discrete, and one feed-forward critic of the state."""
    spec = parts.spec
    return (
        spec.discrete
        and spec.action_size**spec.num_agents <= MAX_JOINT_ACTIONS
        and parts.critic_input.enumerable
        and not parts.critic.recurrent
    )


def make_controlled(parts: Parts, num_situations: int, num_draws: int, num_updates: int = 1) -> Measurement:
    """`(key, state, hypers) → (Draws, Enumeration or None)`, pure and jittable.

    Args:
        num_situations: F, visited by π, one in each of F environments.
        num_draws: K.
        num_updates: iterations from π to π'; the agents are in the order of the last iteration.
    """

    def controlled(key: Array, state: RunnerState, hypers: Hypers) -> tuple[Draws, Enumeration | None]:
        visit_key, draw_key, step_key = jax.random.split(key, 3)
        after, metrics = jax.lax.scan(lambda at, _: iterate(at, hypers, parts), state, length=num_updates)
        order = metrics.position["agent_order"][-1]
        situations = visited(visit_key, state, hypers, parts, num_situations)
        old, new = (policies(agents, situations, hypers, parts) for agents in (state.agents, after.agents))
        draws, action = draw_actions(draw_key, old, new, order, num_draws)
        if not enumerable(parts):
            return draws, None
        spec = parts.spec
        table = jnp.asarray(joint_actions(spec.num_agents, spec.action_size).T, jnp.int32)
        value = action_values(step_key, situations, table, state, hypers, parts)
        place_values = spec.action_size ** jnp.arange(spec.num_agents)[::-1]
        return (
            draws._replace(joint_action=jnp.sum(action * place_values[None], axis=-1)),
            enumerated(old, new, order, table, value),
        )

    return controlled


def policies(agents: AgentState, situations: Situations, hypers: Hypers, parts: Parts) -> Distribution:
    """Action distributions of the agents in the situations; leaves `[F, N, …]`."""
    timestep = situations.timestep
    inputs = timestep.observation, situations.actor_hidden, timestep.action_mask, parts.observation_mask
    return apply_agents(parts.actor, agents.params, *inputs, hypers)[0]


def draw_actions(key: Array, old: Distribution, new: Distribution, order: Array, num_draws: int) -> tuple[Draws, Array]:
    """Draws of situations and of actions of π, without `joint_action`; and the actions `[K, N, …]`."""
    situation_key, action_key = jax.random.split(key)
    num_situations = len(jax.tree.leaves(old)[0])
    situation = jax.random.randint(situation_key, (num_draws,), 0, num_situations)
    drawn_old, drawn_new = jax.tree.map(lambda leaf: leaf[situation], (old, new))
    action = drawn_old.sample(action_key)
    draws = Draws(
        log_second=prefix_sums(old.log_ratio_moment(new, 2), order),
        log_fourth=prefix_sums(old.log_ratio_moment(new, 4), order),
        situation=situation,
        log_factor=prefix_sums(drawn_new.log_prob(action) - drawn_old.log_prob(action), order),
        joint_action=None,
    )
    return draws, action


def enumerated(old: Distribution, new: Distribution, order: Array, table: Array, value: Array) -> Enumeration:
    """Probability, factor and advantage of every joint action; table `[J, N]`, value `[F, J]`."""
    log_old, log_new = (jax.vmap(lambda a, d=d: d.log_prob(a[None]), out_axes=1)(table) for d in (old, new))
    log_joint = jnp.sum(log_old, axis=-1)
    advantage = value - jnp.sum(jnp.exp(log_joint) * value, axis=-1, keepdims=True)
    return Enumeration(log_joint, prefix_sums(log_new - log_old, order), advantage)


def prefix_sums(per_agent: Array, order: Array) -> Array:
    """Sums over the first 0 … N agents of the order, `[…, N]` → `[…, N+1]`."""
    return jnp.pad(jnp.cumsum(per_agent[..., order], axis=-1), [(0, 0)] * (per_agent.ndim - 1) + [(1, 0)])


def visited(key: Array, state: RunnerState, hypers: Hypers, parts: Parts, num_situations: int) -> Situations:
    """One moment of play under π in each of F environments, at a uniform time within an episode or a rollout."""
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

    def step(
        carry: tuple[RunnerState, Situations], inputs: tuple[Array, Array]
    ) -> tuple[tuple[RunnerState, Situations], None]:
        playing, kept = carry
        time, step_key = inputs
        here = chosen == time
        kept = jax.tree.map(
            lambda new, old: jnp.where(here.reshape(-1, *[1] * (new.ndim - 1)), new, old), now(playing), kept
        )
        return (rollout(step_key, playing, hypers, single)[0], kept), None

    inputs = jnp.arange(horizon), jax.random.split(play_key, horizon)
    return jax.lax.scan(step, (playing, now(playing)), inputs)[0][1]


def action_values(
    key: Array, situations: Situations, table: Array, state: RunnerState, hypers: Hypers, parts: Parts
) -> Array:
    """Q(s, a) = r + γ V(s') by stepping every joint action once from each situation; `[F, J]`.

    All actions of a situation share one key, so that they differ in nothing but the action.
    """
    critic = jax.tree.map(lambda leaf: leaf[0], state.critic)

    def values_of_situation(inputs: tuple[Any, Array]) -> Array:
        env_state, step_key = inputs
        _, outcome = jax.vmap(parts.env.step, in_axes=(None, None, 0))(step_key, env_state, table)
        value, _ = parts.critic.unroll(critic.params, outcome.state, (), None, None)
        return outcome.reward + jnp.where(outcome.terminated, 0.0, hypers.gamma * denormalise(critic.value_norm, value))

    keys = jax.random.split(key, len(situations.timestep.reward))
    return jax.lax.map(values_of_situation, (situations.env_state, keys))
