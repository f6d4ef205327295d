"""Orders of the agents by what their advantages promise."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from ltro_jax.types import Array


def advantage_scores(advantage: Float[Array, "N ..."], value: Float[Array, "N ..."]) -> Float[Array, " N"]:
    """mean |A / V| of each agent over all its samples.

    Args:
        advantage: standardised.
        value: normalised units, as stored; a value of 0 counts as the smallest number of its precision.
    Source: Wang et al. 2023, Section 4.4, published implementation.
    """
    smallest = jnp.finfo(value.dtype).tiny
    divisor = jnp.where(value == 0.0, smallest, value)
    return jnp.mean(jnp.abs(advantage / divisor), axis=tuple(range(1, advantage.ndim)))


def greedy_order(scores: Float[Array, " N"]) -> Int[Array, " N"]:
    """Descending score; the lower index first where scores are equal."""
    return jnp.argsort(-scores, stable=True)


class Ranking(NamedTuple):
    """What one position hands to the next."""

    remaining: Array  # [N] bool, by rank


def semi_greedy_order(scores: Float[Array, " N"], picks: Int[Array, " H"]) -> Int[Array, " N"]:
    """The best of the remaining agents and a random one, alternately.

    Args:
        picks: N // 2 numbers; position 2j + 1 takes number `picks[j]` of the agents that remain, best first.
    Source: Wang et al. 2023, Section 4.4.
    """
    num_agents = scores.shape[0]
    number = jnp.zeros(num_agents, picks.dtype).at[1::2].set(picks)
    ranked = greedy_order(scores)

    def take_one(ranking: Ranking, number: Array) -> tuple[Ranking, Array]:
        remaining = ranking.remaining
        rank = jnp.argmax(remaining & (jnp.cumsum(remaining) == number + 1))
        return Ranking(remaining.at[rank].set(False)), ranked[rank]

    return jax.lax.scan(take_one, Ranking(jnp.ones(num_agents, bool)), number)[1]


def random_picks(key: Array, num_agents: int) -> Int[Array, " H"]:
    """A uniform number below N − 1, N − 3, …, for `semi_greedy_order`."""
    left = jnp.arange(num_agents - 1, 0, -2)
    return jax.random.randint(key, left.shape, 0, left)
