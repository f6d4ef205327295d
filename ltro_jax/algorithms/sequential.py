"""The sequential update: agents one by one in a random order, each weighted by the factor of the agents before it.

    order = random permutation;  R = 1
    for i in order:
        θ_i ← update(θ_i, batch_i, weight = min(R, c))
        R   ← R · π_i_new(a_i|o_i) / π_i_old(a_i|o_i)

c = 1 is the paper's low-variance method, c = ∞ is plain HAPPO or HATRPO. Source: Le & Ta 2025, Algorithm 1.
Simultaneous algorithms (MAPPO, IPPO) are the same loop with weight 1 and a fixed order; it only measures the factor.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Integer, Key

from ltro_jax.algorithms.update_rule import Position, UpdateRule
from ltro_jax.config import Hypers, SettingsError
from ltro_jax.types import AgentBatch, AgentState, Array

TreeT = TypeVar("TreeT")
# UpdateRule.update and UpdateRule.log_ratio, or functions of the same form
Update = Callable[..., tuple[AgentState, Any]]
LogRatio = Callable[[AgentState, AgentBatch, Hypers], Array]
# (log_factor, weight, log_ratio, batch, hypers) → metrics of one position in the order
Measure = Callable[[Array, Array, Array, AgentBatch, Hypers], Any]


class SequentialResult(NamedTuple):
    """Outcome of one round over all agents."""

    agents: AgentState  # leaves [P, …]
    info: Any  # leaves [N, …] in agent order, what `update` reports
    measured: Any  # leaves [N, …] in update order, what `measure` reports
    agent_order: Int[Array, " N"]  # int32, agent at each position


class Carry(NamedTuple):
    """What one position passes to the next."""

    agents: AgentState  # leaves [P, …]
    log_factor: Float[Array, "*samples"]  # log R
    log_product: Float[Array, "*samples"] | None  # what the weight reads; None = log R
    remaining: Bool[Array, " N"]  # True = not yet updated


def sequential_update(
    key: Key[Array, ""],
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    *,
    rule: UpdateRule,
    measure: Measure,
    order: Int[Array, " N"] | None = None,
) -> SequentialResult:
    """Update all agents, which do not share parameters.

    Args:
        key: for the order and the agents' updates.
        agents: leaves `[N, …]`.
        batch: leaves `[N, T, B, …]`; dead agents' samples stay in the factor.
        order: a permutation; None = the order of the rule.
    """
    num_agents = batch.log_prob.shape[0]
    order_key, update_key = jax.random.split(key)
    plan = rule.order(order_key, batch, hypers) if order is None else order
    keys = jax.random.split(update_key, num_agents)
    return update_in_order(keys, agents, batch, hypers, plan, rule=rule, measure=measure)


def update_in_order(
    keys: Key[Array, " N"] | None,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    plan: Int[Array, " N"],
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int] | None = None,
    update: Update | None = None,
    log_ratio: LogRatio | None = None,
) -> SequentialResult:
    """Scan over the positions; the carry takes the raw factor and the parameters from one agent to the next.

    The carry holds the logarithm of the factor: the product over many agents can overflow, and ∞ · 0 is NaN.

    Args:
        keys: of the positions; None = the update draws no random numbers.
        agents: leaves `[P, …]`.
        batch: leaves `[N, *samples, …]`.
        plan: see `UpdateRule.choose`.
        groups: index in 0 … P−1 of the parameters of each of the N agents; None = the agents share none.
        update, log_ratio: replace those of the rule if the samples are not a rollout `[T, B]`.
    """
    num_agents = batch.log_prob.shape[0]
    update, log_ratio = update or rule.update, log_ratio or rule.log_ratio
    of_agent = jnp.asarray(range(num_agents) if groups is None else groups)

    def body(carry: Carry, inputs: tuple[Array | None, Array]) -> tuple[Carry, tuple[Any, Any, Array]]:
        key, position = inputs[0], Position(inputs[1], num_agents)
        index = rule.choose(plan, position, carry.remaining, carry.log_factor, batch, hypers)
        agent, samples = take(carry.agents, of_agent[index]), batch.of_agent(index)
        product = carry.log_factor if carry.log_product is None else carry.log_product
        weight = rule.weight(product, samples, hypers)
        advantage = rule.advantage(carry.log_factor, samples, position, hypers)
        samples = samples.learnable().replace(advantage=advantage)
        updated, info = same_form(rule, agent, update(key, agent, samples, advantage, weight, position, hypers))
        agent_log_ratio = log_ratio(updated, samples, hypers)
        measured = measure(carry.log_factor, weight, agent_log_ratio, samples, hypers)
        term = rule.term(agent_log_ratio, hypers)
        carry = Carry(
            put(carry.agents, of_agent[index], updated),
            carry.log_factor + agent_log_ratio,
            None if term is None else product + term,
            carry.remaining.at[index].set(False),
        )
        return carry, (info, measured, index)

    start = jnp.zeros_like(batch.log_prob[0])
    has_term = rule.term(start, hypers) is not None
    carry = Carry(agents, start, start if has_term else None, jnp.ones(num_agents, bool))
    carry, (info, measured, order) = jax.lax.scan(body, carry, (keys, jnp.arange(num_agents)))
    return SequentialResult(carry.agents, take(info, jnp.argsort(order)), measured, order)


def same_form(rule: UpdateRule, before: AgentState, result: Any) -> tuple[AgentState, Any]:
    """Return the result of an update if it is an agent of the same form and a NamedTuple of metrics; adds no operation.

    Raises:
        SettingsError: the message names the rule and the first leaf whose path, shape or dtype differs.
    """
    name = f"{type(rule).__module__}:{type(rule).__qualname__}"
    if not isinstance(result, tuple) or len(result) != 2 or not hasattr(result[1], "_asdict"):
        raise SettingsError(f"the update of {name} must return an AgentState and a NamedTuple of metrics")
    expected, returned = (
        {
            jax.tree_util.keystr(path).lstrip("."): _form(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(agent)
        }
        for agent in (before, result[0])
    )
    for leaf in sorted(expected.keys() | returned.keys()):
        wanted, got = expected.get(leaf, "nothing"), returned.get(leaf, "nothing")
        if wanted != got:
            raise SettingsError(f"the update of {name} returns {got} for {leaf}; it must return {wanted}")
    if jax.tree.structure(before) != jax.tree.structure(result[0]):
        raise SettingsError(f"the update of {name} must return an AgentState of the structure that it receives")
    return result


def _form(leaf: Any) -> str:
    shape, dtype = jnp.shape(leaf), getattr(leaf, "dtype", type(leaf).__name__)
    return f"{dtype}[{','.join(map(str, shape))}]"


def take(stack: TreeT, index: Integer[Array, "..."]) -> TreeT:
    """Entries `index` of leaves `[P, …]`."""
    return jax.tree.map(lambda leaf: leaf[index], stack)


def put(stack: TreeT, index: Integer[Array, ""], entry: TreeT) -> TreeT:
    """The stack with `entry` at `index`."""
    return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), stack, entry)
