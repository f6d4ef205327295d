"""One agent's PPO step: K epochs of clipped-surrogate ascent on its own rollout."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.algorithms import optimizer
from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, take, to_samples, training_samples
from ltro_jax.algorithms.sequential import AgentUpdate, LogRatio
from ltro_jax.config import Hypers, Static
from ltro_jax.distributions import Distribution
from ltro_jax.networks import Actor
from ltro_jax.ops import clipped_surrogate, masked_mean, probability_ratio
from ltro_jax.types import AgentBatch, AgentState, Array, Params

# (agent, samples, weight, hypers) → agent, info; one agent without the leading N
GradientStep = Callable[[AgentState, AgentBatch, Array, Hypers], tuple[AgentState, "PPOInfo"]]


class PPOInfo(NamedTuple):
    """One row per gradient step, `[K · M]` float32, each before the step it describes."""

    policy_loss: Array  # minus the surrogate, without the entropy term
    entropy: Array  # nats, mean over active samples
    grad_norm: Array  # before clipping, with the entropy term
    mean_ratio: Array  # over all samples of the minibatch


def policy(actor: Actor, params: Params, samples: AgentBatch, hypers: Hypers) -> Distribution:
    """One agent's distribution on stored observations: samples `[…]`, or sequences `[…, L]` if recurrent."""
    memory = samples.hidden, samples.start
    return actor.unroll(params, samples.observation, *memory, samples.action_mask, samples.observation_mask, hypers)


def make_log_ratio(actor: Actor) -> LogRatio:
    """log π_new(a|o) − stored log-probability over the whole rollout, `[T, B]`.

    A recurrent actor is run through the rollout from its first hidden state.
    """

    def log_ratio(agent: AgentState, batch: AgentBatch, hypers: Hypers) -> Array:
        rollout = training_samples(batch, batch.log_prob.shape[0]) if actor.recurrent else batch
        result = policy(actor, agent.params, rollout, hypers).log_prob(rollout.action) - rollout.log_prob
        return result.T if actor.recurrent else result

    return log_ratio


def make_gradient_step(actor: Actor, static: Static) -> GradientStep:
    """One ascent step of `static.optimizer` on the clipped surrogate of one agent's samples.

        L = mean_active( w · min(r·A, clip(r, 1−ε, 1+ε)·A) ) + ent_coef · mean_active(entropy),  maximised

    Source: Schulman et al. 2017; Kuba et al. 2022; Le & Ta 2025.
    """

    def loss(params: Params, samples: AgentBatch, weight: Array, hypers: Hypers) -> tuple[Array, tuple[Array, ...]]:
        distribution = policy(actor, params, samples, hypers)
        ratio = probability_ratio(distribution.log_prob(samples.action) - samples.log_prob)
        surrogate = clipped_surrogate(ratio, samples.advantage, weight, hypers.clip_eps, samples.active_mask)
        entropy = masked_mean(distribution.entropy(), samples.active_mask)
        return -(surrogate + hypers.ent_coef * entropy), (surrogate, entropy, jnp.mean(ratio))

    def gradient_step(
        agent: AgentState, samples: AgentBatch, weight: Array, hypers: Hypers
    ) -> tuple[AgentState, PPOInfo]:
        gradient, (surrogate, entropy, ratio) = jax.grad(loss, has_aux=True)(agent.params, samples, weight, hypers)
        params, opt_state, norm = optimizer.gradient_step(
            static.optimizer, agent.params, agent.opt_state, gradient, hypers.actor_lr, hypers
        )
        return AgentState(params, opt_state), PPOInfo(-surrogate, entropy, norm, ratio)

    return gradient_step


def make_ppo_update(actor: Actor, static: Static) -> AgentUpdate:
    """The `agent_update` of HAPPO, clip-HAPPO, MAPPO and IPPO: K epochs of minibatch gradient steps."""
    gradient_step = make_gradient_step(actor, static)

    def agent_update(
        key: Array, agent: AgentState, batch: AgentBatch, weight: Array, hypers: Hypers
    ) -> tuple[AgentState, PPOInfo]:
        samples = training_samples(batch, static.sequence_length), to_samples(weight, static.sequence_length)

        def step(agent: AgentState, rows: Rows) -> tuple[AgentState, PPOInfo]:
            own, own_weight = take(samples, rows)
            return gradient_step(agent, own, own_weight, hypers)

        num_samples = len(samples[1])
        return scan_minibatches(key, agent, step, num_samples, static.actor_epochs, static.actor_minibatches)

    return agent_update
