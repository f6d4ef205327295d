"""From a rollout to the batches of actors and critics: values, advantages, return targets."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ltro_jax.config import Hypers
from ltro_jax.ops import denormalise, generalised_advantage, standardise
from ltro_jax.training.critic_inputs import agent_major
from ltro_jax.training.parts import Parts
from ltro_jax.training.values import values
from ltro_jax.types import AgentBatch, Array, CriticBatch, Hidden, RunnerState, TeamBatch, Transition


def returns(
    transitions: Transition, before: RunnerState, hypers: Hypers, parts: Parts
) -> tuple[AgentBatch, CriticBatch, Hidden]:
    """Compute advantages and return targets with the critics and the normaliser of the rollout.

    Args:
        before: state at the start of the rollout; reads `critic` and `critic_hidden`.
    Returns:
        The agents' batches `[N, T, B, …]` with standardised advantages, the critics' batches `[C, T, B, …]`, and the
        critics' hidden state after the last step.
    """
    view = parts.critic_input
    done = transitions.terminated | transitions.truncated
    start = jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])  # the hidden states at step 0 are already reset
    state, next_state = view.to_critics(transitions.state), view.to_critics(transitions.next_state)
    critic_start, critic_done = view.spread(start), view.spread(done)
    state_mask = None
    if view.mask is not None:
        state_mask = view.to_critics(jnp.broadcast_to(view.mask, transitions.state.shape))
    estimates = values(
        before.critic.params,
        state,
        next_state,
        state_mask,
        before.critic_hidden,
        critic_start,
        critic_done,
        parts.critic,
    )

    to_reward_units = jax.vmap(denormalise)
    raw_value, raw_next_value = (
        view.to_agents(to_reward_units(before.critic.value_norm, x)) for x in (estimates.value, estimates.next_value)
    )
    advantage = advantages(transitions, raw_value, raw_next_value, hypers, parts)
    agent_batch = agent_batches(transitions, advantage, raw_value, raw_next_value, estimates.value, start, parts)
    critic_batch = CriticBatch(
        state=state,
        value=estimates.value,
        value_target=view.from_agents(advantage + raw_value),
        state_mask=state_mask,
        hidden=estimates.hidden,
        start=critic_start if parts.actor.recurrent else None,
    )
    return agent_batch, critic_batch, estimates.last_hidden


def advantages(
    transitions: Transition,
    value: Float[Array, "A T B"],
    next_value: Float[Array, "A T B"],
    hypers: Hypers,
    parts: Parts,
) -> Float[Array, "A T B"]:
    """Advantages in reward units; A = N, or A = 1 if all agents have the same values."""

    def estimate(value: Float[Array, "T B"], next_value: Float[Array, "T B"]) -> Float[Array, "T B"]:
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

    return jax.vmap(estimate)(value, next_value)


def agent_batches(
    transitions: Transition,
    advantage: Float[Array, "A T B"],
    value: Float[Array, "A T B"],
    next_value: Float[Array, "A T B"],
    critic_output: Float[Array, "C T S"],
    start: Bool[Array, "T B"],
    parts: Parts,
) -> AgentBatch:
    """The batches of all agents `[N, T, B, …]`.

    Args:
        advantage, value, next_value: in reward units; A = N, or A = 1 if all agents have the same.
        critic_output: values of the C critics in normalised units; S counts the sequences of one critic.
        start: whether the step is the first of an episode.
    """
    active_mask = agent_major(transitions.active_mask)
    return AgentBatch(
        observation=agent_major(transitions.observation),
        action=agent_major(transitions.action),
        action_mask=agent_major(transitions.action_mask),
        active_mask=active_mask,
        log_prob=agent_major(transitions.log_prob),
        advantage=standardised(jnp.broadcast_to(advantage, active_mask.shape), active_mask, parts),
        observation_mask=_observation_mask(transitions, parts),
        hidden=jax.tree.map(agent_major, transitions.actor_hidden),
        start=jnp.broadcast_to(start, active_mask.shape) if parts.actor.recurrent else None,
        value=jnp.broadcast_to(value, active_mask.shape),
        next_value=jnp.broadcast_to(next_value, active_mask.shape),
        critic_output=jnp.broadcast_to(parts.critic_input.to_agents(critic_output), active_mask.shape),
        team=TeamBatch(transitions.reward, transitions.terminated, transitions.truncated),
    )


def standardised(
    advantage: Float[Array, "N T B"], active_mask: Bool[Array, "N T B"], parts: Parts
) -> Float[Array, "N T B"]:
    """Advantages standardised over active samples, together for agents that share parameters.

    The advantages from a critic of the state of each agent are one set: they are standardised together.
    """
    groups = np.zeros(len(parts.groups), int) if parts.critic_input.joint else np.asarray(parts.groups)
    if len(set(groups)) == len(groups):
        return jax.vmap(standardise)(advantage, active_mask)
    for group in np.unique(groups):
        (members,) = np.nonzero(groups == group)
        together = standardise(advantage[members], active_mask[members])
        advantage = advantage.at[members].set(together)
    return advantage


def _observation_mask(transitions: Transition, parts: Parts) -> Bool[Array, "N T B O"] | None:
    mask = parts.observation_mask
    return None if mask is None else agent_major(jnp.broadcast_to(mask, transitions.observation.shape))
