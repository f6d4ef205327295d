"""From a rollout to what actors and critics learn from: values, advantages, return targets."""

import jax
import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.networks import apply_critics
from ltro_jax.ops import denormalise, generalised_advantage, standardise
from ltro_jax.training.parts import Parts
from ltro_jax.types import AgentBatch, Array, CriticBatch, CriticState, Transition


def critic_major(x: Array, parts: Parts) -> Array:
    """The critics' own axis to the front: `[T, B, G]` → `[1, T, B, G]`, or `[T, B, N, O]` → `[N, T, B, O]`."""
    return agent_major(x) if parts.recipe.local_critics else x[None]


def agent_major(x: Array) -> Array:
    """`[T, B, N, …]` → `[N, T, B, …]`."""
    return jnp.moveaxis(x, 2, 0)


def returns(
    transitions: Transition, critic_state: CriticState, hypers: Hypers, parts: Parts
) -> tuple[AgentBatch, CriticBatch]:
    """Advantages and return targets with the critics and the normaliser as they were during the rollout.

    Returns:
        The agents' batches `[N, T, B, …]` with advantages standardised over each agent's own active samples, and the
        critics' batches `[C, T, B, …]`.
    """
    state, next_state = critic_major(transitions.state, parts), critic_major(transitions.next_state, parts)
    state_mask = parts.observation_mask if parts.recipe.local_critics else None
    value = apply_critics(parts.critic, critic_state.params, state, state_mask)  # [C, T, B] normalised
    next_value = apply_critics(parts.critic, critic_state.params, next_state, state_mask)
    to_reward_units = jax.vmap(denormalise)
    value_norm = critic_state.value_norm

    def estimate(value: Array, next_value: Array) -> Array:
        return generalised_advantage(
            transitions.reward,
            value,
            next_value,
            transitions.terminated,
            transitions.truncated,
            hypers.gamma,
            hypers.gae_lambda,
            parts.static.truncation,
        )

    raw_value = to_reward_units(value_norm, value)
    advantage = jax.vmap(estimate)(raw_value, to_reward_units(value_norm, next_value))  # [C, T, B]
    active_mask = agent_major(transitions.active_mask)
    advantage_of_agent = jnp.broadcast_to(advantage, active_mask.shape)
    agent_batch = AgentBatch(
        observation=agent_major(transitions.observation),
        action=agent_major(transitions.action),
        action_mask=agent_major(transitions.action_mask),
        active_mask=active_mask,
        log_prob=agent_major(transitions.log_prob),
        advantage=jax.vmap(standardise)(advantage_of_agent, active_mask),
        observation_mask=parts.observation_mask,
    )
    return agent_batch, CriticBatch(state, value, advantage + raw_value, state_mask)
