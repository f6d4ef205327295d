"""One actor for all agents: epochs outside, agents inside, its parameters carried from agent to agent.

    for each epoch (and minibatch):
        R = 1
        for i in order:
            θ ← one gradient step on batch_i, weight = min(R, c)
            R ← R · π_θ(a_i|o_i) / stored probability

Source: Le & Ta 2025, published implementation.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, take, to_samples, training_samples
from ltro_jax.algorithms.ppo_step import make_gradient_step, make_log_ratio, make_ppo_update
from ltro_jax.algorithms.sequential import Measure, SequentialResult, agent_order
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import Actor
from ltro_jax.ops import clamped_factor
from ltro_jax.types import AgentBatch, AgentState, Array


class Passes(NamedTuple):
    """Outcome of all passes; one pass is a gradient step for each agent in turn."""

    agent: AgentState
    info: Any  # leaves [K · M, N] in update order
    measured: Any  # leaves [K · M, N, …] in update order


def shared_update(
    key: Array,
    agents: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    *,
    actor: Actor,
    static: Static,
    measure: Measure,
    sequential: bool = True,
) -> SequentialResult:
    """The round over all agents with shared parameters, in the form of `sequential_update`.

    Args:
        agents: leaves `[1, …]`.
        batch: leaves `[N, T, B, …]`, advantages standardised over all agents together.
        static: reads `actor_epochs`, `actor_minibatches`, `agent_order` and the sequence length.
        sequential: False takes the samples of all agents as one batch, with weight 1.
    Returns:
        As `sequential_update`. What is measured is that of the last pass (on its minibatch, if feed-forward).
    """
    num_agents = batch.log_prob.shape[0]
    order_key, update_key = jax.random.split(key)
    order = agent_order(order_key, static.agent_order if sequential else "fixed", num_agents)
    agent = jax.tree.map(lambda leaf: leaf[0], agents)
    if sequential:
        passes = shared_passes(update_key, agent, batch, hypers, order, actor=actor, static=static, measure=measure)
        agent, measured = passes.agent, jax.tree.map(lambda rows: rows[-1], passes.measured)
        info = jax.tree.map(lambda rows: rows.T[jnp.argsort(order)], passes.info)
    else:
        weight = jnp.ones_like(batch.log_prob)
        joint, joint_weight = jax.tree.map(as_environments, (batch, weight))
        agent, info = make_ppo_update(actor, static)(update_key, agent, joint, joint_weight, hypers)
        info = jax.tree.map(lambda rows: jnp.broadcast_to(rows, (num_agents, *rows.shape)), info)
        measured = measure_in_order(agent, batch, weight[0], hypers, actor=actor, measure=measure)
    return SequentialResult(jax.tree.map(lambda leaf: leaf[None], agent), info, measured, order)


def shared_passes(
    key: Array,
    agent: AgentState,
    batch: AgentBatch,
    hypers: Hypers,
    order: Array,
    *,
    actor: Actor,
    static: Static,
    measure: Measure,
) -> Passes:
    """K epochs × M minibatches of one gradient step for each agent in turn.

    All agents of a pass take the same rows, so that the factor is needed on these rows only; a recurrent actor's is
    computed over the whole rollout from its first hidden state.
    """
    length = static.sequence_length
    samples = jax.vmap(lambda own: training_samples(own, length))(batch)  # [N, n, …]
    gradient_step, log_ratio = make_gradient_step(actor, static), make_log_ratio(actor)

    def one_pass(agent: AgentState, rows: Rows) -> tuple[AgentState, tuple[Any, Any]]:
        minibatch = take(samples, rows, axis=1)
        seen = batch if actor.recurrent else minibatch  # where the factor lives

        def turn(carry: tuple[AgentState, Array], index: Array) -> tuple[tuple[AgentState, Array], tuple[Any, Any]]:
            agent, log_factor = carry
            own, own_seen = jax.tree.map(lambda leaf: leaf[index], (minibatch, seen))
            weight = clamped_factor(log_factor, hypers.factor_clip)
            own_weight = take(to_samples(weight, length), rows) if actor.recurrent else weight
            agent, info = gradient_step(agent, own, own_weight, hypers)
            own_log_ratio = log_ratio(agent, own_seen, hypers)
            measured = measure(log_factor, weight, own_log_ratio, own_seen, hypers)
            return (agent, log_factor + own_log_ratio), (info, measured)

        (agent, _), outputs = jax.lax.scan(turn, (agent, jnp.zeros_like(seen.log_prob[0])), order)
        return agent, outputs

    num_samples = samples.log_prob.shape[1]
    agent, (info, measured) = scan_minibatches(
        key, agent, one_pass, num_samples, static.actor_epochs, static.actor_minibatches
    )
    return Passes(agent, info, measured)


def as_environments(x: Array) -> Array:
    """`[N, T, B, …]` → `[T, N·B, …]`: every agent as environments of its own."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])


def measure_in_order(
    agent: AgentState, batch: AgentBatch, weight: Array, hypers: Hypers, *, actor: Actor, measure: Measure
) -> Any:
    """What `measure` reports of each agent after a joint update; leaves `[N, …]`."""
    log_ratio = make_log_ratio(actor)

    def body(log_factor: Array, own: AgentBatch) -> tuple[Array, Any]:
        own_log_ratio = log_ratio(agent, own, hypers)
        return log_factor + own_log_ratio, measure(log_factor, weight, own_log_ratio, own, hypers)

    return jax.lax.scan(body, jnp.zeros_like(weight), batch)[1]
