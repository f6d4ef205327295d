"""A2PO, agent-by-agent policy optimisation: each agent's advantage is corrected for the agents before it.

For the agent at position p of N, where R is the factor of the agents before it:

    A_t = δ_t + γλ (1 − d_t) min(c̄, R_{t+1}) A_{t+1}                      standardised over its active samples
    L = mean_active( min(ρA, clip(ρ, 1 ± ε_p) A) ),   ρ = r · clip(R, 1 ± ε')
    ε_p = ε (w (p + 1) / N + 1 − w)

With a clamp c̄ above 1 / γλ, the trace can grow exponentially over a long rollout.

Source: Wang et al. 2023, Eq. 4 to 8. One central critic learns the plain returns. The authors' code differs: it applies
λ twice in the trace, trains one critic per agent, and standardises over the samples of all agents together.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from ltro_jax.algorithms.ppo import PPO
from ltro_jax.algorithms.update_rule import Position
from ltro_jax.config import Hypers
from ltro_jax.ops import clamped_factor, clipped_surrogate, generalised_advantage, standardise
from ltro_jax.types import AgentBatch, Array


class A2PO(PPO):
    """Agent-by-agent policy optimisation; the module states the equations."""

    summary: ClassVar = "sequential PPO with corrected advantages and a joint ratio clip (Wang et al. 2023)"
    reads: ClassVar = PPO.reads | {"trace_clip", "clip_eps_slope"}
    defaults: ClassVar = {"factor_rule": "two_sided", "factor_clip": float("inf"), "agent_order": "semi_greedy"}
    shareable: ClassVar = False

    def advantage(
        self, log_factor: Float[Array, "T B"], batch: AgentBatch, position: Position, hypers: Hypers
    ) -> Float[Array, "T B"]:
        """The corrected advantage, standardised over the agent's active samples."""
        return standardise(self.corrected_advantage(log_factor, batch, position, hypers), batch.active_mask)

    def corrected_advantage(
        self, log_factor: Float[Array, "T B"], batch: AgentBatch, position: Position, hypers: Hypers
    ) -> Float[Array, "T B"]:
        """The preceding-agent off-policy correction in reward units; the first agent has the plain estimate."""
        team, value, next_value = batch.team, batch.value, batch.next_value
        assert team is not None and value is not None and next_value is not None  # a rollout, not a minibatch
        trace = jnp.where(position.index == 0, 1.0, clamped_factor(log_factor, hypers.trace_clip))
        return generalised_advantage(
            team.reward,
            value,
            next_value,
            team.terminated,
            team.truncated,
            hypers.gamma,
            hypers.gae_lambda,
            self.static.truncation,
            trace,
        )

    def clip_eps(self, position: Position, hypers: Hypers) -> Float[Array, ""]:
        """ε_p, the ratio clip: it widens from agent to agent up to ε."""
        share = (position.index + 1) / position.num_agents
        return hypers.clip_eps * (hypers.clip_eps_slope * share + 1.0 - hypers.clip_eps_slope)

    def surrogate(
        self,
        ratio: Float[Array, "*samples"],
        advantage: Float[Array, "*samples"],
        weight: Float[Array, "*samples"],
        mask: Bool[Array, "*samples"],
        position: Position,
        hypers: Hypers,
    ) -> Float[Array, ""]:
        """The surrogate, to be maximised: the clip acts on the joint ratio ρ."""
        joint_ratio = ratio * jax.lax.stop_gradient(weight)
        return clipped_surrogate(joint_ratio, advantage, jnp.ones_like(weight), self.clip_eps(position, hypers), mask)
