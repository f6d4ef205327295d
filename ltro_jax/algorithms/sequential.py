"""The sequential update: agents one after another in a random order, each weighted by the factor of those before it.

    order = random permutation;  R = 1
    for i in order:
        θ_i ← update(θ_i, batch_i, weight = min(R, c))
        R   ← R · π_i_new(a_i|o_i) / π_i_old(a_i|o_i)

c = 1 is the paper's low-variance method, c = ∞ plain HAPPO/HATRPO. Source: Le & Ta 2025, Algorithm 1. Simultaneous
algorithms (MAPPO, IPPO) are the same loop with weight 1 and a fixed order, in which the factor is only measured.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.algorithms.update_rule import Position, UpdateRule
from ltro_jax.config import Hypers, SettingsError
from ltro_jax.types import AgentBatch, AgentState, Array

# of UpdateRule: update, and its log_ratio
Update = Callable[..., tuple[AgentState, Any]]
LogRatio = Callable[[AgentState, AgentBatch, Hypers], Array]
# (log_factor, weight, log_ratio, batch, hypers) → metrics of one position in the order
Measure = Callable[[Array, Array, Array, AgentBatch, Hypers], Any]


class SequentialResult(NamedTuple):
    """Outcome of one round over all agents."""

    agents: AgentState  # leaves [P, …]
    info: Any  # leaves [N, …] in agent order, what `update` reports
    measured: Any  # leaves [N, …] in update order, what `measure` reports
    agent_order: Array  # [N] int32, agent at each position


class Carry(NamedTuple):
    """What one position hands to the next."""

    agents: AgentState  # leaves [P, …]
    log_factor: Array  # [*samples] log R
    log_product: Array | None  # [*samples], what the weight reads; None = log R
    remaining: Array  # [N] bool, not yet updated


def sequential_update(
    key: Array,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    *,
    rule: UpdateRule,
    measure: Measure,
    order: Array | None = None,
) -> SequentialResult:
    """Update all agents, each with parameters of its own.

    Args:
        key: typed key, for the order and the agents' updates.
        agents: leaves `[N, …]`.
        batch: leaves `[N, T, B, …]`; dead agents' samples stay in the factor.
        order: a permutation `[N]` int32; None = the rule's.
    """
    num_agents = batch.log_prob.shape[0]
    order_key, update_key = jax.random.split(key)
    plan = rule.order(order_key, batch, hypers) if order is None else order
    keys = jax.random.split(update_key, num_agents)
    return update_in_order(keys, agents, batch, hypers, plan, rule=rule, measure=measure)


def update_in_order(
    keys: Array | None,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    plan: Array,
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int] | None = None,
    update: Update | None = None,
    log_ratio: LogRatio | None = None,
) -> SequentialResult:
    """The scan over positions, carrying from one agent to the next the raw factor and the parameters.

    The product is carried as its logarithm: over many agents the product itself can overflow, and ∞ · 0 is NaN.

    Args:
        keys: `[N]` typed keys of the positions, or None where the rule's update draws nothing.
        agents: leaves `[P, …]`.
        batch: leaves `[N, *samples, …]`.
        plan: `[N]` int32, see `UpdateRule.choose`.
        groups: index in 0 … P−1 of the parameters of each of the N agents; None = each its own.
        update, log_ratio: in place of the rule's, where the samples are not a rollout `[T, B]`.
    """
    num_agents = batch.log_prob.shape[0]
    update, log_ratio = update or rule.update, log_ratio or rule.log_ratio
    of_agent = jnp.asarray(range(num_agents) if groups is None else groups)

    def body(carry: Carry, turn: tuple[Array | None, Array]) -> tuple[Carry, tuple[Any, Any, Array]]:
        key, position = turn[0], Position(turn[1], num_agents)
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
    """What an update returned, if it is an agent of the same form and a NamedTuple of metrics; costs no operation.

    Raises:
        SettingsError: it names the rule and the first leaf whose place, shape or dtype differs.
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
        raise SettingsError(f"the update of {name} returns another structure than the AgentState that it takes")
    return result


def _form(leaf: Any) -> str:
    shape, dtype = jnp.shape(leaf), getattr(leaf, "dtype", type(leaf).__name__)
    return f"{dtype}[{','.join(map(str, shape))}]"


def take(stack: Any, index: Array) -> Any:
    """Entries `index` of leaves `[P, …]`."""
    return jax.tree.map(lambda leaf: leaf[index], stack)


def put(stack: Any, index: Array, entry: Any) -> Any:
    """The stack with `entry` at `index`."""
    return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), stack, entry)
