"""Small cooperative Markov games as tables: one shared reward, N agents with A actions each."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from ltro_jax.laboratories.games.policies import joint_actions
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.types import Array


class Game(struct.PyTreeNode):
    """A cooperative Markov game; every agent has the same number of actions, J = A^N (see `policies` for their order).

    A batch of games has a leading axis on every leaf, for `vmap`.
    """

    reward: Array  # [S, J] float64, shared by all agents
    transition: Array  # [S, J, S] float64, sums to 1 over the last axis
    start: Array  # [S] float64, sums to 1
    gamma: Array  # [] float64 in [0, 1)
    num_agents: int = struct.field(pytree_node=False)
    num_actions: int = struct.field(pytree_node=False)

    @property
    def num_states(self) -> int:
        return self.reward.shape[-2]


def make_game(reward: ArrayLike, transition: ArrayLike, start: ArrayLike, gamma: ArrayLike, num_agents: int) -> Game:
    """A game from its arrays; the number of actions is the N-th root of J.

    Args:
        reward: `[S, J]`; transition: `[S, J, S]`; start: `[S]`; gamma: scalar, traced; all float64.
    Raises:
        TypeError: not float64.
        ValueError: shapes do not fit together.
    """
    reward, transition, start = (jnp.asarray(x) for x in (reward, transition, start))
    require_float64(reward=reward, transition=transition, start=start)
    num_states, num_joint = reward.shape
    num_actions = round(num_joint ** (1 / num_agents))
    if num_actions**num_agents != num_joint:
        raise ValueError(f"reward has {num_joint} joint actions, which is not a power A^{num_agents} of a whole number")
    if transition.shape != (num_states, num_joint, num_states) or start.shape != (num_states,):
        raise ValueError(
            f"reward {reward.shape}, transition {transition.shape} and start {start.shape} "
            "do not have the shapes [S, J], [S, J, S] and [S]"
        )
    return Game(reward, transition, start, jnp.asarray(gamma, reward.dtype), num_agents, num_actions)


@partial(jax.jit, static_argnames=("num_agents", "num_states", "num_actions"))
def random_game(key: Array, num_agents: int, num_states: int, num_actions: int, gamma: Array | float) -> Game:
    """Rewards uniform in [−1, 1]; transitions and start uniform on the simplex (flat Dirichlet)."""
    reward_key, simplex_key = jax.random.split(key)
    num_joint = num_actions**num_agents
    reward = jax.random.uniform(reward_key, (num_states, num_joint), minval=-1.0, maxval=1.0)
    weight = jax.random.exponential(simplex_key, (num_states * num_joint + 1, num_states))
    rows = weight / jnp.sum(weight, axis=-1, keepdims=True)
    transition = rows[:-1].reshape(num_states, num_joint, num_states)
    return make_game(reward, transition, rows[-1], gamma, num_agents)


def matrix_game(payoff: Array | np.ndarray | Sequence, gamma: Array | float = 0.0) -> Game:
    """One state, payoff `[A, …, A]` with one axis for each agent; played once unless γ > 0."""
    payoff = jnp.asarray(payoff, jnp.result_type(float))
    if payoff.ndim == 0 or len(set(payoff.shape)) != 1:
        raise ValueError(f"payoff has shape {payoff.shape}: it needs an axis for each agent, all of the same length")
    reward = payoff.reshape(1, -1)
    one = jnp.ones_like(reward)
    return make_game(reward, one[..., None], one[0, :1], gamma, payoff.ndim)


def climbing_game(gamma: Array | float = 0.0) -> Game:
    """Two agents, three actions; equilibria (0, 0) worth 11 and (1, 1) worth 7. Source: Claus & Boutilier 1998."""
    return matrix_game([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]], gamma)


def penalty_game(penalty: Array | float = -10.0, gamma: Array | float = 0.0) -> Game:
    """Two agents, three actions; (0, 0) and (2, 2) worth 10, (1, 1) worth 2, missing each other costs `penalty` ≤ 0.

    Source: Claus & Boutilier 1998.
    """
    k = jnp.asarray(penalty, jnp.result_type(float))
    ten, two, zero = (jnp.full_like(k, x) for x in (10.0, 2.0, 0.0))
    return matrix_game(jnp.stack([ten, zero, k, zero, two, zero, k, zero, ten]).reshape(3, 3), gamma)


def coordination_game(num_agents: int, num_actions: int, gamma: Array | float = 0.0) -> Game:
    """Reward (a + 1) / A if all agents play the same a, else 0: every agreement is an equilibrium, the last is best."""
    actions = joint_actions(num_agents, num_actions)
    reward = np.where(np.all(actions == actions[0], axis=0), (actions[0] + 1) / num_actions, 0.0)
    return matrix_game(reward.reshape((num_actions,) * num_agents), gamma)
