"""Best responses and the Nash gap."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.evaluation import discounted_values, evaluate
from ltro_jax.laboratories.games.games import Game
from ltro_jax.laboratories.games.policies import marginal, others_policy
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.types import Array

TOLERANCE = 1e-11  # of the largest action value; the solves are good to about 1e-13 of it


class BestResponse(NamedTuple):
    """An optimal deterministic policy of one agent, with its optimality residual."""

    policy: Array  # [S, A] float64, one-hot
    value: Array  # [S] float64, of the game under it
    expected_return: Array  # []
    residual: Array  # [] max_s (max_a Q − V) ≥ 0: the return is within residual / (1 − γ) of the optimum
    converged: Array  # [] bool, the residual is rounding
    iterations: Array  # [] int32


def induced_mdp(game: Game, policy: Array, agent: Array | int) -> tuple[Array, Array]:
    """Reward `[S, A]` and transition `[S, A, S]` that one agent faces while the others' policies stay fixed."""
    others = others_policy(policy, agent)
    shape = (agent, game.num_agents, game.num_actions)
    return marginal(others * game.reward, *shape), marginal(others[..., None] * game.transition, *shape)


@jax.jit
def best_response(game: Game, policy: Array, agent: Array | int) -> BestResponse:
    """Solve one agent's problem against fixed others, by policy iteration with exact evaluation.

    An action changes only to a better action (not at a tie), so policy iteration cannot cycle. The limit of 10·S·A
    rounds is far from reached in practice; `converged` tells whether the optimality equation holds.

    Args:
        policy: `[N, S, A]` float64 probabilities; the agent's row is not read.
        agent: index, traced.
    Source: Howard 1960; Puterman 1994, Theorem 6.4.2.
    """
    require_float64(policy=policy, reward=game.reward)
    reward, transition = induced_mdp(game, policy, agent)
    num_states, num_actions = reward.shape
    states = jnp.arange(num_states)

    def action_values(choice: Array) -> tuple[Array, Array]:
        value = discounted_values(transition[states, choice], reward[states, choice], game.gamma)
        return value, reward + game.gamma * transition @ value

    def improvements(choice: Array, action_value: Array) -> tuple[Array, Array]:
        """Gain of the best action over the chosen one, and whether it is more than rounding; `[S]`, `[S]`."""
        gain = jnp.max(action_value, axis=-1) - action_value[states, choice]
        return gain, gain > TOLERANCE * jnp.max(jnp.abs(action_value))

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, better, iteration = carry
        return jnp.any(better) & (iteration < 10 * num_states * num_actions)

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        choice, _, iteration = carry
        _, action_value = action_values(choice)
        _, better = improvements(choice, action_value)
        choice = jnp.where(better, jnp.argmax(action_value, axis=-1), choice)
        return choice, better, iteration + 1

    start = (jnp.argmax(reward, axis=-1), jnp.ones(num_states, bool), jnp.zeros((), jnp.int32))
    choice, _, iterations = jax.lax.while_loop(unfinished, improve, start)
    value, action_value = action_values(choice)
    gain, better = improvements(choice, action_value)
    return BestResponse(
        policy=jax.nn.one_hot(choice, num_actions, dtype=reward.dtype),
        value=value,
        expected_return=game.start @ value,
        residual=jnp.max(gain),
        converged=~jnp.any(better),
        iterations=iterations,
    )


@jax.jit
def deviation_gains(game: Game, policy: Array) -> Array:
    """max_{π_i'} J(π_i', π_{−i}) − J(π) of every agent; policy `[N, S, A]` → `[N]`, ≥ 0 but for rounding."""
    agents = jnp.arange(game.num_agents)
    returns = jax.vmap(lambda agent: best_response(game, policy, agent).expected_return)(agents)
    return returns - evaluate(game, policy).expected_return


@jax.jit
def nash_gap(game: Game, policy: Array) -> Array:
    """Largest gain of any agent from changing its policy alone; policy `[N, S, A]` → scalar ≥ 0, 0 at equilibrium.

    Negative values are rounding errors of two solves and become 0.
    """
    return jnp.maximum(jnp.max(deviation_gains(game, policy)), 0.0)
