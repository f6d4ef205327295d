"""One training iteration: rollout, returns, actors in sequence, critic."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Key, Shaped

from ltro_jax.algorithms.critic import CriticInfo, update_critics
from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.algorithms.sequential import SequentialResult, sequential_update
from ltro_jax.algorithms.shared_parameters import shared_update
from ltro_jax.config import Hypers
from ltro_jax.ops import masked_mean, value_norm_moments
from ltro_jax.training.parts import Parts, annealed
from ltro_jax.training.returns import returns
from ltro_jax.training.rollout import Episodes, rollout
from ltro_jax.types import AgentBatch, AgentState, Array, CriticBatch, CriticState, Metrics, RunnerState

OF_EPISODES = ("episode_return", "episode_length", "win_rate")  # mean over the episodes that ended


def iterate(state: RunnerState, hypers: Hypers, parts: Parts) -> tuple[RunnerState, Metrics]:
    """Run one iteration of one member; if its parameters become non-finite, freeze it at its previous state."""
    hypers = annealed(hypers, state.iteration, parts)
    iteration_key = jax.random.fold_in(state.train_key, state.iteration)
    rollout_key, actor_key, critic_key = jax.random.split(iteration_key, 3)

    after, transitions, episodes = rollout(rollout_key, state, hypers, parts)
    agent_batch, critic_batch, critic_hidden = returns(transitions, state, hypers, parts)
    updated = update_actors(actor_key, state.agents, agent_batch, hypers, parts)
    critic, critic_info = update_critics(critic_key, state.critic, critic_batch, parts.critic, parts.static, hypers)
    metrics = iteration_metrics(episodes, transitions.reward, critic_batch, critic, critic_info, updated)
    after = after.replace(agents=updated.agents, critic=critic, critic_hidden=critic_hidden)
    after = freeze_if_not_finite(state, after)
    metrics.scalar["finite"] = after.failed_at < 0
    return after, metrics


def update_actors(
    key: Key[Array, ""], agents: AgentState, batch: AgentBatch, hypers: Hypers, parts: Parts
) -> SequentialResult:
    """Update all agents in one round; each has an actor, or several share one."""
    settings: dict[str, Any] = {"rule": parts.rule, "measure": factor_statistics}
    if parts.shared:
        return shared_update(key, agents, batch, hypers, groups=parts.groups, **settings)
    return sequential_update(key, agents, batch, hypers, **settings)


def freeze_if_not_finite(before: RunnerState, after: RunnerState) -> RunnerState:
    """`after` if every parameter is finite; otherwise `before`, marked with the iteration that failed.

    The iteration counter always advances, so that all members of a sweep stay in step.
    """
    learned, _ = ravel_pytree((after.agents.params, after.critic.params))
    finite = jnp.all(jnp.isfinite(learned))  # a single reduction: one per leaf costs seconds of compile time
    healthy = finite & (before.failed_at < 0)
    kept = jax.tree.map(lambda new, old: jnp.where(healthy, new, old), after, before)
    iteration = before.iteration + 1
    failed_at = jnp.where(finite | (before.failed_at >= 0), before.failed_at, iteration)
    return kept.replace(iteration=iteration, failed_at=failed_at)


def iteration_metrics(
    episodes: Episodes,
    reward: Float[Array, "T B"],
    batch: CriticBatch,
    critic: CriticState,
    critic_info: CriticInfo,
    updated: SequentialResult,
) -> Metrics:
    """The metrics of one iteration; `OF_EPISODES` are means over the episodes that ended in it, 0 if none did."""
    count = jnp.sum(episodes.ended, dtype=jnp.int32)

    def over_ended(x: Shaped[Array, "T B"]) -> Float[Array, ""]:
        """Never NaN, because JAX_DEBUG_NANS would stop a healthy run; a dataset has NaN where `episodes` is 0."""
        return masked_mean(x.astype(jnp.float32), episodes.ended)

    value_mean, value_variance = value_norm_moments(jax.tree.map(lambda leaf: leaf[0], critic.value_norm))
    scalar = {
        "episode_return": over_ended(episodes.episode_return),
        "episode_length": over_ended(episodes.episode_length),
        "episodes": count,
        "reward": jnp.mean(reward),
        "value_target": jnp.mean(batch.value_target),
        "value_target_std": jnp.std(batch.value_target),
        "value_norm_mean": value_mean,
        "value_norm_std": jnp.sqrt(value_variance),
        "value_loss": jnp.mean(critic_info.value_loss),
        "critic_grad_norm": jnp.mean(critic_info.grad_norm),
    }
    if episodes.won is not None:
        scalar["win_rate"] = over_ended(episodes.won)
    position = updated.measured._asdict() | {"agent_order": updated.agent_order}
    agent = {  # mean over the gradient steps of an agent
        name: jnp.mean(steps.reshape(steps.shape[0], -1), axis=-1) for name, steps in updated.info._asdict().items()
    }
    return Metrics(scalar, position, agent)
