"""Proximal policy optimisation of one agent: HAPPO, clip-HAPPO, MAPPO and IPPO."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key

from ltro_jax.algorithms import optimizer
from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, take_rows, to_samples, training_samples
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.update_rule import Position, UpdateRule
from ltro_jax.config import Hypers
from ltro_jax.ops import clipped_surrogate, masked_mean, probability_ratio
from ltro_jax.types import AgentBatch, AgentState, Array, Params, Scalar

GRADIENT_ASCENT = frozenset({"actor_lr", "ent_coef", "actor_epochs", "actor_minibatches"})


class PPOInfo(NamedTuple):
    """Metrics of each of the G = K · M gradient steps, computed before the step."""

    policy_loss: Float[Array, "*G"]  # minus the surrogate, without the entropy term
    entropy: Float[Array, "*G"]  # nats, mean over active samples
    grad_norm: Float[Array, "*G"]  # before clipping, with the entropy term
    mean_ratio: Float[Array, "*G"]  # over all samples of the minibatch


class Objective(NamedTuple):
    """The terms of the loss on one minibatch."""

    surrogate: Float[Array, ""]
    entropy: Float[Array, ""]  # nats
    mean_ratio: Float[Array, ""]


class PPO(UpdateRule):
    """K epochs of minibatch ascent on a surrogate of the agent's samples.

        maximise  surrogate + ent_coef · mean_active(entropy)

    A subclass may replace the clip or the whole surrogate. Source: Schulman et al. 2017.
    """

    reads: ClassVar = GRADIENT_ASCENT
    shareable: ClassVar = True

    def clip_eps(self, position: Position, hypers: Hypers) -> Scalar:
        """ε, the clip of the ratio; ∞ = none."""
        return hypers.clip_eps

    def surrogate(
        self,
        ratio: Float[Array, "*samples"],
        advantage: Float[Array, "*samples"],
        weight: Float[Array, "*samples"],
        mask: Bool[Array, "*samples"],
        position: Position,
        hypers: Hypers,
    ) -> Float[Array, ""]:
        """The surrogate, to be maximised: mean_active( w · min(r·A, clip(r, 1−ε, 1+ε)·A) ).

        Source: Kuba et al. 2022; Le & Ta 2025.
        """
        return clipped_surrogate(ratio, advantage, weight, self.clip_eps(position, hypers), mask)

    def gradient_step(
        self,
        agent: AgentState,
        samples: AgentBatch,
        advantage: Float[Array, "*samples"],
        weight: Float[Array, "*samples"],
        position: Position,
        hypers: Hypers,
    ) -> tuple[AgentState, PPOInfo]:
        """Take one step of `static.optimizer`."""

        def loss(params: Params) -> tuple[Float[Array, ""], Objective]:
            distribution = policy(self.actor, params, samples, hypers)
            ratio = probability_ratio(distribution.log_prob(samples.action) - samples.log_prob)
            surrogate = self.surrogate(ratio, advantage, weight, samples.active_mask, position, hypers)
            entropy = masked_mean(distribution.entropy(), samples.active_mask)
            return -(surrogate + hypers.ent_coef * entropy), Objective(surrogate, entropy, jnp.mean(ratio))

        gradient, terms = jax.grad(loss, has_aux=True)(agent.params)
        params, opt_state, norm = optimizer.gradient_step(
            self.static.optimizer, agent.params, agent.opt_state, gradient, hypers.actor_lr, hypers
        )
        return AgentState(params, opt_state), PPOInfo(-terms.surrogate, terms.entropy, norm, terms.mean_ratio)

    def update(
        self,
        key: Key[Array, ""],
        agent: AgentState,
        batch: AgentBatch,
        advantage: Float[Array, "T B"],
        weight: Float[Array, "T B"],
        position: Position,
        hypers: Hypers,
    ) -> tuple[AgentState, Any]:
        """Train for K epochs of M minibatches; the metrics have one row per `gradient_step`."""
        static = self.static
        samples = training_samples(batch.replace(advantage=advantage), static.sequence_length)
        weight = to_samples(weight, static.sequence_length)

        def step(agent: AgentState, rows: Rows) -> tuple[AgentState, Any]:
            minibatch, minibatch_weight = take_rows((samples, weight), rows)
            return self.gradient_step(agent, minibatch, minibatch.advantage, minibatch_weight, position, hypers)

        return scan_minibatches(key, agent, step, len(weight), static.actor_epochs, static.actor_minibatches)


class HAPPO(PPO):
    """Sequential PPO, weighted by the factor of the agents before it. Source: Kuba et al. 2022."""

    summary: ClassVar = "sequential PPO, factor_clip = inf (Kuba et al. 2022)"
    defaults: ClassVar = {"factor_clip": float("inf")}


class ClipHAPPO(PPO):
    """HAPPO with the factor clamped at 1. Source: Le & Ta 2025."""

    summary: ClassVar = "HAPPO with the factor clamped at factor_clip = 1 (Le & Ta 2025)"
    defaults: ClassVar = {"factor_clip": 1.0}


class MAPPO(PPO):
    """All agents at once, with one central critic. Source: Yu et al. 2022."""

    summary: ClassVar = "simultaneous PPO, central critic (Yu et al. 2022)"
    defaults: ClassVar = {"factor_clip": float("inf")}
    simultaneous: ClassVar = True


class IPPO(MAPPO):
    """All agents at once, with one critic per agent. Source: de Witt et al. 2020."""

    summary: ClassVar = "simultaneous PPO, one critic per agent (de Witt et al. 2020)"
    critic_input: ClassVar = "observation"


class HAA2C(PPO):
    """HAPPO without the clip of the ratio: mean_active( w · r · A ). Source: Zhong et al. 2024 (HARL)."""

    summary: ClassVar = "sequential actor-critic without a ratio clip, factor_clip = inf (Zhong et al. 2024)"
    defaults: ClassVar = {"factor_clip": float("inf")}

    def clip_eps(self, position: Position, hypers: Hypers) -> Scalar:
        """∞: the ratio is not clipped."""
        return jnp.inf
