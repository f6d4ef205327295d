"""Evaluation inside the program: whole episodes in environments and with keys of their own."""

import jax
import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.networks import apply_agents
from ltro_jax.ops import compensated_add
from ltro_jax.training.parts import Parts
from ltro_jax.types import Array, Best, RunnerState

KINDS = ("greedy", "sampled")


def evaluate(
    state: RunnerState,
    hypers: Hypers,
    parts: Parts,
    num_episodes: int | None = None,
    kinds: tuple[str, ...] = KINDS,
) -> dict[str, Array]:
    """Mean return and length of whole episodes, of each kind as many, in one pass.

    Args:
        num_episodes: of each kind; None takes the setting `eval_episodes`.
        kinds: of `KINDS`, how the actors act.
    Returns:
        `eval_return_greedy`, `eval_return_sampled`, `eval_length_greedy`, `eval_length_sampled`, and where there is
        something to win `eval_win_rate_greedy`, `eval_win_rate_sampled`: scalars float32.
    """
    per_kind = num_episodes or parts.static.eval_episodes
    spec, count = parts.spec, len(kinds) * per_kind
    greedy = jnp.repeat(jnp.asarray([kind == "greedy" for kind in kinds]), per_kind)
    reset_key, act_key = jax.random.split(jax.random.fold_in(state.eval_key, state.iteration))
    env_state, timestep = jax.vmap(parts.env.reset)(jax.random.split(reset_key, count))

    def act_and_step(carry, keys):
        env_state, timestep, hidden, running, figures = carry
        distribution, hidden = apply_agents(
            parts.actor,
            state.agents.params,
            timestep.observation,
            hidden,
            timestep.action_mask,
            parts.observation_mask,
            hypers,
        )
        mode, sample = distribution.mode(), distribution.sample(keys[0])
        action = jnp.where(greedy.reshape(-1, *[1] * (mode.ndim - 1)), mode, sample)
        env_state, timestep = jax.vmap(parts.env.step)(keys[1:], env_state, action)
        new = {"return": timestep.reward, "length": jnp.ones(count)}
        if timestep.won is not None:
            new["win_rate"] = timestep.won.astype(jnp.float32)
        figures = {
            name: compensated_add(total, rest, jnp.where(running, new[name], 0.0))
            for name, (total, rest) in figures.items()
        }
        return (env_state, timestep, hidden, running & ~timestep.done, figures), None

    hidden = parts.actor.initial_hidden((count, spec.num_agents))
    names = ("return", "length", *(["win_rate"] if spec.winnable else []))
    figures = {name: (jnp.zeros(count), jnp.zeros(count)) for name in names}
    carry = (env_state, timestep, hidden, jnp.ones(count, bool), figures)
    carry, _ = jax.lax.scan(act_and_step, carry, jax.random.split(act_key, (spec.episode_length, count + 1)))
    return {
        f"eval_{name}_{kind}": jnp.mean(rows)
        for name, (values, _) in carry[-1].items()
        for kind, rows in zip(kinds, values.reshape(len(kinds), per_kind), strict=True)
    }


def keep_best(state: RunnerState, score: Array) -> RunnerState:
    """`state` with its actors as its best where `score` `[]` is higher than any before; frozen actors never are."""
    assert state.best is not None  # where there are evaluations
    better = (score > state.best.score) & (state.failed_at < 0)
    now = Best(state.agents.params, state.iteration, score)
    return state.replace(best=jax.tree.map(lambda new, old: jnp.where(better, new, old), now, state.best))
