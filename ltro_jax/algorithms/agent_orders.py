"""The setting `agent_order`: the order of the agents in a round. Each order is one line."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from ltro_jax.ops import advantage_scores, greedy_order, random_picks, semi_greedy_order
from ltro_jax.types import AgentBatch, Array


def scores(batch: AgentBatch) -> Float[Array, " N"]:
    """mean |A / V| of each agent. Source: Wang et al. 2023."""
    assert batch.critic_output is not None  # a rollout, not a minibatch
    return advantage_scores(batch.advantage, batch.critic_output)


def semi_greedy(key: Key[Array, ""], batch: AgentBatch) -> Int[Array, " N"]:
    """The best of the remaining agents and a random agent, alternately. Source: Wang et al. 2023."""
    return semi_greedy_order(scores(batch), random_picks(key, batch.log_prob.shape[0]))


# (key, batch of all agents [N, T, B, …]) → permutation [N] int32
ORDERS: dict[str, Callable[[Array, AgentBatch], Array]] = {
    "random": lambda key, batch: jax.random.permutation(key, jnp.arange(batch.log_prob.shape[0])),
    "fixed": lambda key, batch: jnp.arange(batch.log_prob.shape[0]),
    "greedy": lambda key, batch: greedy_order(scores(batch)),
    "semi_greedy": semi_greedy,
}
