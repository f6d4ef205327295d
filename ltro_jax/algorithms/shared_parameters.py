"""Agents that share parameters, all or by group: epochs are the outer loop, agents the inner loop.

    for each epoch (and minibatch):
        R = 1
        for i in order:
            θ ← one gradient step on batch_i, weight = min(R, c)         θ = parameters of i's group
            R ← R · π_θ(a_i|o_i) / stored probability

Source: Le & Ta 2025, published implementation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key, Shaped

from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, take_rows, training_samples
from ltro_jax.algorithms.policy import log_ratio
from ltro_jax.algorithms.sequential import Measure, SequentialResult, put, same_form, take, update_in_order
from ltro_jax.algorithms.update_rule import Position, UpdateRule
from ltro_jax.config import Hypers
from ltro_jax.types import AgentBatch, AgentState, Array


def shared_update(
    key: Key[Array, ""],
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int],
    order: Int[Array, " N"] | None = None,
) -> SequentialResult:
    """Update all agents; the counterpart of `sequential_update`.

    Args:
        agents: leaves `[P, …]`.
        batch: leaves `[N, T, B, …]`.
        groups: index in 0 … P−1 of the parameters of each agent.
    Returns:
        As for `sequential_update`; `measured` describes the last pass, on its minibatch.
    """
    order_key, update_key = jax.random.split(key)
    plan = rule.order(order_key, batch, hypers) if order is None else order
    inputs, options = (update_key, agents, batch, hypers, plan), {"rule": rule, "measure": measure, "groups": groups}
    if rule.simultaneous:
        return joint_update(*inputs, **options)
    agents, passes = shared_passes(*inputs, **options)
    info = jax.tree.map(lambda rows: jnp.moveaxis(rows, 0, 1), passes.info)
    last = jax.tree.map(lambda rows: rows[-1], passes)
    return last._replace(agents=agents, info=info)


def shared_passes(
    key: Key[Array, ""],
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    plan: Int[Array, " N"],
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int],
) -> tuple[AgentState, SequentialResult]:
    """Run K epochs × M minibatches, each a pass of one gradient step per agent.

    All agents of a pass use the same rows, so the factor is needed on these rows only. A recurrent actor computes its
    ratio on the sequences of the minibatch, each from its stored hidden state, as in the gradient step.

    Returns:
        The agents, and the results of all passes, leaves `[K · M, N, …]`.
    """
    static = rule.static
    samples = jax.vmap(lambda rollout: training_samples(rollout, static.sequence_length))(
        batch.learnable()
    )  # [N, n, …]

    def update(key: Array | None, *arguments: Any) -> tuple[AgentState, Any]:
        return rule.gradient_step(*arguments)

    def ratio(agent: AgentState, minibatch: AgentBatch, hypers: Hypers) -> Float[Array, "*samples"]:
        return log_ratio(rule.actor, agent.params, minibatch, hypers)

    def one_pass(agents: AgentState, rows: Rows) -> tuple[AgentState, SequentialResult]:
        minibatch = take_rows(samples, rows, axis=1)
        functions = {"rule": rule, "measure": measure, "update": update, "log_ratio": ratio}
        result = update_in_order(None, agents, minibatch, hypers, plan, groups=groups, **functions)
        return result.agents, result._replace(agents=None)

    num_samples = samples.log_prob.shape[1]
    return scan_minibatches(key, agents, one_pass, num_samples, static.actor_epochs, static.actor_minibatches)


class NoMetrics(NamedTuple):
    """The metrics of a position that only measures the factor."""


def joint_update(
    key: Key[Array, ""],
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    plan: Int[Array, " N"],
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int],
) -> SequentialResult:
    """Update all agents of a group at once, on one batch of their samples with weight 1; then measure the factor."""
    infos: list[Any] = [None] * len(groups)
    samples = batch.learnable()
    for group in range(max(groups) + 1):
        members = [index for index, other in enumerate(groups) if other == group]
        joint = jax.tree.map(lambda leaf, members=members: as_environments(leaf[jnp.asarray(members)]), samples)
        group_key = key if max(groups) == 0 else jax.random.fold_in(key, group)
        first = Position(jnp.zeros((), jnp.int32), len(groups))
        weight = jnp.ones_like(joint.log_prob)
        agent = take(agents, jnp.asarray(group))
        updated = rule.update(group_key, agent, joint, joint.advantage, weight, first, hypers)
        agent, info = same_form(rule, agent, updated)
        agents = put(agents, jnp.asarray(group), agent)
        for index in members:
            infos[index] = info

    def keep(key: Array | None, agent: AgentState, *others: Any) -> tuple[AgentState, NoMetrics]:
        return agent, NoMetrics()

    result = update_in_order(None, agents, batch, hypers, plan, rule=rule, measure=measure, groups=groups, update=keep)
    return result._replace(info=jax.tree.map(lambda *rows: jnp.stack(rows), *infos))


def as_environments(x: Shaped[Array, "N T B *feature"]) -> Shaped[Array, "T NB *feature"]:
    """`[N, T, B, …]` → `[T, N·B, …]`: the environments of all agents side by side."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])
