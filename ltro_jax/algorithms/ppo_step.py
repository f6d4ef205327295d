"""One agent's PPO step: K epochs of clipped-surrogate ascent on its own rollout."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.algorithms.minibatches import scan_minibatches
from ltro_jax.algorithms.optimiser import adam_step
from ltro_jax.algorithms.sequential import AgentUpdate, LogRatio
from ltro_jax.config import Hypers, Static
from ltro_jax.distributions import Distribution
from ltro_jax.networks import Actor
from ltro_jax.ops import clipped_surrogate, masked_mean
from ltro_jax.types import AgentBatch, AgentState, Array, Params


class PPOInfo(NamedTuple):
    """One row per gradient step, `[K · M]` float32, each before the step it describes."""

    policy_loss: Array  # minus the surrogate, without the entropy term
    entropy: Array  # nats, mean over active samples
    grad_norm: Array  # before clipping, with the entropy term
    mean_ratio: Array  # over all samples of the minibatch


def policy(actor: Actor, params: Params, batch: AgentBatch, hypers: Hypers) -> Distribution:
    """One agent's distribution `[…]` on its stored observations."""
    hidden = actor.initial_hidden(batch.observation.shape[:-1])
    return actor.apply(params, batch.observation, hidden, batch.action_mask, batch.observation_mask, hypers)[0]


def make_log_ratio(actor: Actor) -> LogRatio:
    """log π_new(a|o) − stored log-probability over the whole rollout, `[T, B]`."""

    def log_ratio(agent: AgentState, batch: AgentBatch, hypers: Hypers) -> Array:
        return policy(actor, agent.params, batch, hypers).log_prob(batch.action) - batch.log_prob

    return log_ratio


def make_ppo_update(actor: Actor, static: Static) -> AgentUpdate:
    """The `agent_update` of HAPPO, clip-HAPPO, MAPPO and IPPO.

        L = mean_active( w · min(r·A, clip(r, 1−ε, 1+ε)·A) ) + ent_coef · mean_active(entropy),  maximised

    Source: Schulman et al. 2017; Kuba et al. 2022; Le & Ta 2025.
    """

    def loss(params: Params, batch: AgentBatch, weight: Array, hypers: Hypers) -> tuple[Array, tuple[Array, ...]]:
        distribution = policy(actor, params, batch, hypers)
        ratio = jnp.exp(distribution.log_prob(batch.action) - batch.log_prob)
        surrogate = clipped_surrogate(ratio, batch.advantage, weight, hypers.clip_eps, batch.active_mask)
        entropy = masked_mean(distribution.entropy(), batch.active_mask)
        return -(surrogate + hypers.ent_coef * entropy), (surrogate, entropy, jnp.mean(ratio))

    def agent_update(
        key: Array, agent: AgentState, batch: AgentBatch, weight: Array, hypers: Hypers
    ) -> tuple[AgentState, PPOInfo]:
        observation_mask = batch.observation_mask
        samples = (batch.replace(observation_mask=None), weight)
        samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), samples)  # [T, B, …] → [T·B, …]

        def step(agent: AgentState, minibatch: tuple[AgentBatch, Array]) -> tuple[AgentState, PPOInfo]:
            rows, row_weight = minibatch
            rows = rows.replace(observation_mask=observation_mask)
            gradient, (surrogate, entropy, ratio) = jax.grad(loss, has_aux=True)(agent.params, rows, row_weight, hypers)
            params, opt_state, norm = adam_step(agent.params, agent.opt_state, gradient, hypers.actor_lr, hypers)
            return AgentState(params, opt_state), PPOInfo(-surrogate, entropy, norm, ratio)

        return scan_minibatches(key, agent, samples, step, static.actor_epochs, static.actor_minibatches)

    return agent_update
