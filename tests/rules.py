"""Update rules as the plain functions that tests call."""

import jax.numpy as jnp

from ltro_jax.algorithms import Position, UpdateRule
from ltro_jax.types import AgentBatch, AgentState, Array


def first_of(num_agents: int) -> Position:
    """The first place of a round."""
    return Position(jnp.zeros((), jnp.int32), num_agents)


def update_of(rule: UpdateRule, num_agents: int = 1):
    """`(key, agent, batch, weight, hypers) → agent, info` at the first place, with the batch's advantage."""

    def update(key: Array, agent: AgentState, batch: AgentBatch, weight: Array, hypers):
        return rule.update(key, agent, batch, batch.advantage, weight, first_of(num_agents), hypers)

    return update


def gradient_step_of(rule: UpdateRule):
    """`(agent, samples, weight, hypers) → agent, info` at the first place, with the samples' advantage."""

    def step(agent: AgentState, samples: AgentBatch, weight: Array, hypers):
        return rule.gradient_step(agent, samples, samples.advantage, weight, first_of(1), hypers)

    return step
