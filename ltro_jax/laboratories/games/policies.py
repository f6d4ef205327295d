"""Products of independent softmax policies, and their joint actions.

Axes: N agents, S states, A actions of each agent, J = A^N joint actions. The joint action is flattened with the
first agent's action most significant, as `reshape` does: `[S, A, …, A]` ↔ `[S, J]`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.types import Array


def joint_actions(num_agents: int, num_actions: int) -> np.ndarray:
    """Action of each agent in each joint action; `[N, J]` int."""
    return np.indices((num_actions,) * num_agents).reshape(num_agents, -1)


def log_policies(logits: Array) -> Array:
    """log π_i(a_i|s) of softmax policies; logits `[N, S, A]` → `[N, S, A]`.

    Logarithms stay finite where probabilities underflow, so ratios of near-deterministic policies stay exact.
    """
    return jax.nn.log_softmax(logits, axis=-1)


def lift(per_agent: Array) -> Array:
    """Each agent's value at its action within each joint action; `[N, S, A]` → `[N, S, J]`."""
    num_agents, _, num_actions = per_agent.shape
    return jnp.take_along_axis(per_agent, joint_actions(num_agents, num_actions)[:, None, :], axis=-1)


def joint_policy(policy: Array) -> Array:
    """π(a|s) = Π_i π_i(a_i|s); probabilities `[N, S, A]` → `[S, J]`."""
    return jnp.prod(lift(policy), axis=0)


def joint_log_policy(log_policy: Array) -> Array:
    """log π(a|s) = Σ_i log π_i(a_i|s); `[N, S, A]` → `[S, J]`."""
    return jnp.sum(lift(log_policy), axis=0)


def others_policy(policy: Array, agent: Array | int) -> Array:
    """π_{−i}(a_{−i}|s), constant along agent i's action; probabilities `[N, S, A]` → `[S, J]`.

    A product without agent i, not a quotient: policies may have zeros.
    """
    excluded = jnp.arange(policy.shape[0])[:, None, None] == agent
    return jnp.prod(jnp.where(excluded, 1.0, lift(policy)), axis=0)


def marginal(joint: Array, agent: Array | int, num_agents: int, num_actions: int) -> Array:
    """Sum over the actions of all agents but one; `[S, J]` or `[S, J, …]` → `[S, A]` or `[S, A, …]`. `agent` traced."""
    own_action = jnp.asarray(joint_actions(num_agents, num_actions))[agent]
    return jnp.einsum("sj...,ja->sa...", joint, jax.nn.one_hot(own_action, num_actions, dtype=joint.dtype))
