"""Agents that share parameters, all or by group: epochs outside, agents inside.

    for each epoch (and minibatch):
        R = 1
        for i in order:
            θ ← one gradient step on batch_i, weight = min(R, c)         θ = parameters of i's group
            R ← R · π_θ(a_i|o_i) / stored probability

Source: Le & Ta 2025, published implementation.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, training_samples
from ltro_jax.algorithms.minibatches import take as take_rows
from ltro_jax.algorithms.policy import log_ratio
from ltro_jax.algorithms.sequential import Measure, SequentialResult, put, same_form, take, update_in_order
from ltro_jax.algorithms.update_rule import Position, UpdateRule
from ltro_jax.config import Hypers
from ltro_jax.types import AgentBatch, AgentState, Array


def shared_update(
    key: Array,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int],
    order: Array | None = None,
) -> SequentialResult:
    """The round over all agents, in the form of `sequential_update`.

    Args:
        agents: leaves `[P, …]`.
        batch: leaves `[N, T, B, …]`.
        groups: index in 0 … P−1 of the parameters of each agent.
    Returns:
        As `sequential_update`. What is measured is that of the last pass, on its minibatch.
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
    key: Array,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    plan: Array,
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int],
) -> tuple[AgentState, SequentialResult]:
    """K epochs × M minibatches, each a round of one gradient step per agent.

    All agents of a pass take the same rows, so that the factor is needed on these rows only. The ratio of a recurrent
    actor is that of the minibatch's sequences, each from its stored hidden state, as in the gradient step.

    Returns:
        The agents, and every pass, leaves `[K · M, N, …]`.
    """
    static = rule.static
    samples = jax.vmap(lambda own: training_samples(own, static.sequence_length))(batch.learnable())  # [N, n, …]

    def update(key: Array | None, *arguments: Any) -> tuple[AgentState, Any]:
        return rule.gradient_step(*arguments)

    def ratio(agent: AgentState, minibatch: AgentBatch, hypers: Hypers) -> Array:
        return log_ratio(rule.actor, agent.params, minibatch, hypers)

    def one_pass(agents: AgentState, rows: Rows) -> tuple[AgentState, SequentialResult]:
        minibatch = take_rows(samples, rows, axis=1)
        functions = {"rule": rule, "measure": measure, "update": update, "log_ratio": ratio}
        result = update_in_order(None, agents, minibatch, hypers, plan, groups=groups, **functions)
        return result.agents, result._replace(agents=None)

    num_samples = samples.log_prob.shape[1]
    return scan_minibatches(key, agents, one_pass, num_samples, static.actor_epochs, static.actor_minibatches)


def joint_update(
    key: Array,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    plan: Array,
    *,
    rule: UpdateRule,
    measure: Measure,
    groups: Sequence[int],
) -> SequentialResult:
    """All agents of a group at once: their samples are one batch, with weight 1; then the factor is measured."""
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

    def keep(key: Array | None, agent: AgentState, *others: Any) -> tuple[AgentState, tuple[()]]:
        return agent, ()

    result = update_in_order(None, agents, batch, hypers, plan, rule=rule, measure=measure, groups=groups, update=keep)
    return result._replace(info=jax.tree.map(lambda *rows: jnp.stack(rows), *infos))


def as_environments(x: Array) -> Array:
    """`[N, T, B, …]` → `[T, N·B, …]`: the environments of every agent side by side."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])
