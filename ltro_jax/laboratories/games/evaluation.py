"""Exact evaluation of a policy, by linear solves."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.games import Game
from ltro_jax.laboratories.games.policies import joint_policy
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.types import Array


class Evaluation(NamedTuple):
    """Values of a policy in a game."""

    expected_return: Array  # [] J = Σ_s start(s) V(s)
    value: Array  # [S] V
    action_value: Array  # [S, J] Q
    advantage: Array  # [S, J] A = Q − V
    state_distribution: Array  # [S] d, normalised


def state_transition(game: Game, policy: Array) -> Array:
    """P^π(s'|s) = Σ_a π(a|s) P(s'|s, a); policy `[N, S, A]` → `[S, S]`."""
    return jnp.einsum("sj,sjt->st", joint_policy(policy), game.transition)


def state_reward(game: Game, policy: Array) -> Array:
    """r^π(s) = Σ_a π(a|s) r(s, a); policy `[N, S, A]` → `[S]`."""
    return jnp.einsum("sj,sj->s", joint_policy(policy), game.reward)


def solve_dominant(system: Array, right: Array) -> Array:
    """x of M x = b by Gauss–Jordan elimination; `[S, S]`, `[S]` → `[S]`.

    I − γP is diagonally dominant by rows and its transpose by columns, so no pivoting is needed. `jnp.linalg.solve` is
    not used: on a CPU, several batched LAPACK calls in a program can exhaust XLA's thread pool and never return.
    Source: Golub & Van Loan 2013, section 4.1.
    """

    def eliminate(index: Array, table: Array) -> Array:
        row = table[index] / table[index, index]
        return (table - table[:, index, None] * row[None]).at[index].set(row)

    table = jnp.concatenate([system, right[:, None]], axis=1)
    return jax.lax.fori_loop(0, len(right), eliminate, table)[:, -1]


def discounted_values(transition: Array, reward: Array, gamma: Array) -> Array:
    """V = (I − γP)⁻¹ r of a Markov chain; `[S, S]`, `[S]` → `[S]`."""
    return solve_dominant(jnp.eye(len(reward), dtype=reward.dtype) - gamma * transition, reward)


def discounted_occupancy(transition: Array, start: Array, gamma: Array) -> Array:
    """d = (1 − γ) Σ_t γ^t P(s_t = ·), solved from d (I − γP) = (1 − γ) start; `[S, S]`, `[S]` → `[S]`, sums to 1."""
    system = jnp.eye(len(start), dtype=start.dtype) - gamma * transition
    return (1.0 - gamma) * solve_dominant(system.T, start)


@jax.jit
def evaluate(game: Game, policy: Array) -> Evaluation:
    """J, V, Q, A and d of independent policies.

    Args:
        policy: `[N, S, A]` float64 probabilities; zeros are allowed.
    Raises:
        TypeError: not float64.
        AssertionError: the policy's shape is not the game's (at trace time).
    Source: Puterman 1994, Theorem 6.1.1; d as in Achiam et al. 2017.
    """
    require_float64(policy=policy, reward=game.reward)
    chex.assert_shape(policy, (game.num_agents, game.num_states, game.num_actions))
    transition = state_transition(game, policy)
    value = discounted_values(transition, state_reward(game, policy), game.gamma)
    action_value = game.reward + game.gamma * game.transition @ value
    return Evaluation(
        expected_return=game.start @ value,
        value=value,
        action_value=action_value,
        advantage=action_value - value[:, None],
        state_distribution=discounted_occupancy(transition, game.start, game.gamma),
    )
