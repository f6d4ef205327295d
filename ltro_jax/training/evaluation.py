"""Evaluation inside the program: whole episodes in separate environments and with separate keys."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key

from ltro_jax.config import Hypers
from ltro_jax.networks import apply_agents
from ltro_jax.ops import compensated_add
from ltro_jax.training.parts import Parts
from ltro_jax.types import Array, Best, Hidden, RunnerState, TimeStep

KINDS = ("greedy", "sampled")


class Carry(NamedTuple):
    """What one step of the E episodes passes to the next."""

    env_state: Any
    timestep: TimeStep  # [E, …]
    hidden: Hidden  # [E, N, H]
    running: Bool[Array, " E"]  # the episode has not ended
    sums: dict[str, tuple[Float[Array, " E"], Float[Array, " E"]]]  # total and its rounding error, by metric


def evaluate(
    state: RunnerState,
    hypers: Hypers,
    parts: Parts,
    num_episodes: int | None = None,
    kinds: tuple[str, ...] = KINDS,
) -> dict[str, Float[Array, ""]]:
    """Mean return and length of whole episodes, in one pass for all kinds.

    Args:
        num_episodes: number of episodes of each kind; None = the setting `eval_episodes`.
        kinds: how the actors act, a subset of `KINDS`.
    Returns:
        `eval_return_greedy`, `eval_return_sampled`, `eval_length_greedy`, `eval_length_sampled`, and if the task can be
        won, `eval_win_rate_greedy`, `eval_win_rate_sampled`.
    """
    per_kind = num_episodes or parts.static.eval_episodes
    spec, count = parts.spec, len(kinds) * per_kind
    greedy = jnp.repeat(jnp.asarray([kind == "greedy" for kind in kinds]), per_kind)
    reset_key, act_key = jax.random.split(jax.random.fold_in(state.eval_key, state.iteration))
    env_state, timestep = jax.vmap(parts.env.reset)(jax.random.split(reset_key, count))

    def act_and_step(carry: Carry, keys: Key[Array, " keys"]) -> tuple[Carry, None]:
        timestep = carry.timestep
        distribution, hidden = apply_agents(
            parts.actor,
            state.agents.params,
            timestep.observation,
            carry.hidden,
            timestep.action_mask,
            parts.observation_mask,
            hypers,
        )
        mode, sample = distribution.mode(), distribution.sample(keys[0])
        action = jnp.where(greedy.reshape(-1, *[1] * (mode.ndim - 1)), mode, sample)
        env_state, timestep = jax.vmap(parts.env.step)(keys[1:], carry.env_state, action)
        sums = added(carry, timestep)
        return Carry(env_state, timestep, hidden, carry.running & ~timestep.done, sums), None

    hidden = parts.actor.initial_hidden((count, spec.num_agents))
    names = ("return", "length", *(["win_rate"] if spec.winnable else []))
    sums = {name: (jnp.zeros(count), jnp.zeros(count)) for name in names}
    carry = Carry(env_state, timestep, hidden, jnp.ones(count, bool), sums)
    carry, _ = jax.lax.scan(act_and_step, carry, jax.random.split(act_key, (spec.episode_length, count + 1)))
    return {
        f"eval_{name}_{kind}": jnp.mean(episodes)
        for name, (values, _) in carry.sums.items()
        for kind, episodes in zip(kinds, values.reshape(len(kinds), per_kind), strict=True)
    }


def added(carry: Carry, timestep: TimeStep) -> dict[str, tuple[Float[Array, " E"], Float[Array, " E"]]]:
    """The sums after one more step of the running episodes."""
    values = {"return": timestep.reward, "length": jnp.ones_like(timestep.reward)}
    if timestep.won is not None:
        values["win_rate"] = timestep.won.astype(jnp.float32)
    return {
        name: compensated_add(total, rest, jnp.where(carry.running, values[name], 0.0))
        for name, (total, rest) in carry.sums.items()
    }


def keep_best(state: RunnerState, score: Float[Array, ""]) -> RunnerState:
    """Store the actors as `best` if `score` is the highest so far and the member is not frozen."""
    assert state.best is not None  # if the settings ask for evaluations
    better = (score > state.best.score) & (state.failed_at < 0)
    now = Best(state.agents.params, state.iteration, score)
    return state.replace(best=jax.tree.map(lambda new, old: jnp.where(better, new, old), now, state.best))
