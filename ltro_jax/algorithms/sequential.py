"""The sequential update: agents one after another in a random order, each weighted by the clamped factor.

    order = random permutation;  R = 1
    for i in order:
        θ_i ← agent_update(θ_i, batch_i, weight = min(R, c))
        R   ← R · π_i_new(a_i|o_i) / π_i_old(a_i|o_i)

c = 1 is the paper's low-variance method, c = ∞ plain HAPPO/HATRPO. Simultaneous algorithms (MAPPO, IPPO) are the same
loop with weight 1 and a fixed order; their factor is only measured. Source: Le & Ta 2025, Algorithm 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.ops import clamped_factor
from ltro_jax.types import AgentBatch, AgentState, Array

# (key, agent, batch, weight [T, B], hypers) → agent, info; one agent's slices without the leading N
AgentUpdate = Callable[[Array, AgentState, AgentBatch, Array, Hypers], tuple[AgentState, Any]]
# (agent, batch, hypers) → log π_new(a|o) − stored log-probability, [T, B]
LogRatio = Callable[[AgentState, AgentBatch, Hypers], Array]
# (log_factor, weight, log_ratio, batch, hypers) → figures of one position in the order
Measure = Callable[[Array, Array, Array, AgentBatch, Hypers], Any]


class SequentialResult(NamedTuple):
    """Outcome of one round over all agents."""

    agents: AgentState  # leaves [P, …], in agent order
    info: Any  # leaves [N, …] in agent order, what `agent_update` reports
    measured: Any  # leaves [N, …] in update order, what `measure` reports
    agent_order: Array  # [N] int32, agent at each position


def agent_order(key: Array, order: str, num_agents: int) -> Array:
    """Agents at the positions of a round, `[N]` int32: a permutation if `order` is `"random"`, 0 … N−1 if `"fixed"`."""
    identity = jnp.arange(num_agents)
    return jax.random.permutation(key, identity) if order == "random" else identity


def sequential_update(
    key: Array,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    *,
    agent_update: AgentUpdate,
    log_ratio: LogRatio,
    measure: Measure,
    order: str | Array = "random",
    sequential: bool = True,
) -> SequentialResult:
    """Update all agents, carrying from one to the next nothing but the raw factor.

    The product is carried as its logarithm: over many agents the product itself can overflow, and ∞ · 0 is NaN.

    Args:
        key: typed key, for the order and the agents' updates.
        agents: leaves `[N, …]`.
        batch: leaves `[N, T, B, …]`; dead agents' samples stay in the factor.
        hypers: reads `factor_clip`.
        agent_update, log_ratio, measure: see the types above.
        order: `"random"`, `"fixed"`, or an explicit permutation `[N]` int32.
        sequential: False gives every agent weight 1.
    """
    num_agents = batch.log_prob.shape[0]
    order_key, update_key = jax.random.split(key)
    if isinstance(order, str):
        order = agent_order(order_key, order if sequential else "fixed", num_agents)

    def body(log_factor: Array, position: tuple[Array, Array, AgentState]) -> tuple[Array, Any]:
        agent_key, index, agent = position
        agent_batch = jax.tree.map(lambda leaf: leaf[index], batch)  # one agent's samples, not a permuted copy of all
        weight = clamped_factor(log_factor, hypers.factor_clip) if sequential else jnp.ones_like(log_factor)
        agent, info = agent_update(agent_key, agent, agent_batch, weight, hypers)
        agent_log_ratio = log_ratio(agent, agent_batch, hypers)
        measured = measure(log_factor, weight, agent_log_ratio, agent_batch, hypers)
        return log_factor + agent_log_ratio, (agent, info, measured)

    def take(tree: Any, indices: Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[indices], tree)

    stack = (jax.random.split(update_key, num_agents), order, take(agents, order))
    _, (agents, info, measured) = jax.lax.scan(body, jnp.zeros_like(batch.log_prob[0]), stack)
    agents, info = take((agents, info), jnp.argsort(order))
    return SequentialResult(agents, info, measured, order)
