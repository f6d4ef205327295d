"""The contract of an algorithm: how to update one agent at its position in the round.

A subclass holds a whole algorithm in one file. Everything but `update` has a default, which suits HAPPO's family.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Bool, Float, Int, Key

from ltro_jax.algorithms.agent_orders import ORDERS
from ltro_jax.algorithms.factor_rules import FACTOR_RULES, FactorRule
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import rollout_log_ratio
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import Actor
from ltro_jax.types import AgentBatch, AgentState, Array, Params


class Position(NamedTuple):
    """A place in the order of a round."""

    index: Int[Array, ""]  # int32, 0 = first
    num_agents: int  # N


@dataclass(frozen=True)
class UpdateRule:
    """An algorithm of the family, as pure functions of one agent's slices (without the leading N).

    Class attributes:
        summary: one line for `ltro presets`.
        reads: settings that this algorithm reads and others may not; all algorithms read a setting that none names.
        defaults: settings whose default differs from the global default.
        simultaneous: True updates all agents at once, with weight 1 in a fixed order.
        critic_input: None = the setting `critic_input`; a name overrides it (`"observation"`: one critic per agent).
        shareable: whether agents may share parameters; they then learn by `gradient_step`, not `update`.
    Fields:
        actor: the network of one agent as functions.
        static: the settings of the compiled program.
    """

    actor: Actor
    static: Static

    summary: ClassVar[str] = ""
    reads: ClassVar[frozenset[str]] = frozenset()
    defaults: ClassVar[Mapping[str, Any]] = {}
    simultaneous: ClassVar[bool] = False
    critic_input: ClassVar[str | None] = None
    shareable: ClassVar[bool] = False

    @classmethod
    def settings(cls) -> frozenset[str]:
        """All settings that this algorithm reads and another may not."""
        names = set(cls.reads)
        if not cls.simultaneous:
            names.update({"factor_rule", "agent_order"}, *(rule.reads for rule in FACTOR_RULES.values()))
        if cls.critic_input is None:
            names.add("critic_input")
        return frozenset(names)

    @property
    def factor_rule(self) -> FactorRule:
        """The setting `factor_rule`; weight 1 for simultaneous agents."""
        return FACTOR_RULES["none" if self.simultaneous else self.static.factor_rule]

    def init(self, params: Params) -> Any:
        """Initial optimizer state of a parameter stack; leaves `[P, …]`, or `()`."""
        return init_optimizer(self.static.optimizer, params)

    def order(self, key: Key[Array, ""], batch: AgentBatch, hypers: Hypers) -> Int[Array, " N"]:
        """The planned order of a round, from the batch of all agents `[N, T, B, …]`."""
        return ORDERS["fixed" if self.simultaneous else self.static.agent_order](key, batch)

    def choose(
        self,
        plan: Int[Array, " N"],
        position: Position,
        remaining: Bool[Array, " N"],
        log_factor: Float[Array, "*samples"],
        batch: AgentBatch,
        hypers: Hypers,
    ) -> Int[Array, ""]:
        """The agent at `position`, chosen inside the scan from the `remaining` agents.

        Args:
            plan: the result of `order`; the default follows it.
            remaining: True = not yet updated.
            log_factor: log R of the agents already updated.
            batch: all agents, `[N, T, B, …]`.
        """
        return plan[position.index]

    def advantage(
        self, log_factor: Float[Array, "*samples"], batch: AgentBatch, position: Position, hypers: Hypers
    ) -> Float[Array, "*samples"]:
        """The advantage that the agent at `position` learns from; the default is the advantage of the rollout."""
        return batch.advantage

    def term(self, log_ratio: Float[Array, "*samples"], hypers: Hypers) -> Float[Array, "*samples"] | None:
        """What an updated agent adds to the logarithm that `weight` reads; None adds log r, so `weight` reads log R."""
        term = self.factor_rule.term
        return None if term is None else term(log_ratio, hypers)

    def weight(
        self, log_product: Float[Array, "*samples"], batch: AgentBatch, hypers: Hypers
    ) -> Float[Array, "*samples"]:
        """The weight of the agent's samples, ≥ 0; the default follows the setting `factor_rule`."""
        return self.factor_rule.weight(log_product, batch, hypers)

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
        """Update one agent from its rollout.

        Args:
            key: typed key of this agent in this round.
            agent: without the leading P.
            batch: leaves `[T, B, …]`.
            advantage, weight: the results of `advantage` and `weight`.
        Returns:
            The agent, of the same structure, and a NamedTuple of metrics (scalars or one row per gradient step).
        """
        raise NotImplementedError(f"{type(self).__name__} defines no update")

    def gradient_step(
        self,
        agent: AgentState,
        samples: AgentBatch,
        advantage: Float[Array, "*samples"],
        weight: Float[Array, "*samples"],
        position: Position,
        hypers: Hypers,
    ) -> tuple[AgentState, Any]:
        """Take one gradient step on a minibatch; required if agents share parameters.

        Args:
            samples: leaves `[n, …]`, or sequences `[n, L, …]` if recurrent.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no gradient_step")

    def log_ratio(self, agent: AgentState, batch: AgentBatch, hypers: Hypers) -> Float[Array, "T B"]:
        """log π_new(a|o) − stored log-probability over the rollout."""
        return rollout_log_ratio(self.actor, agent.params, batch, hypers)
