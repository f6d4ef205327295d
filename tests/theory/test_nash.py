"""Best responses are optimal, and the Nash gap is zero at equilibria and nowhere else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax import theory


def pure(actions, num_actions):
    """Deterministic joint policy of a game with one state."""
    return jax.nn.one_hot(jnp.array(actions), num_actions, dtype=float)[:, None]


def random_problem(key, num_agents, num_states, num_actions):
    game_key, policy_key, gamma_key = jax.random.split(key, 3)
    gamma = jax.random.uniform(gamma_key, maxval=0.99)
    game = theory.random_game(game_key, num_agents, num_states, num_actions, gamma)
    return game, jax.nn.softmax(3.0 * jax.random.normal(policy_key, (num_agents, num_states, num_actions)))


@pytest.mark.parametrize("num_agents, num_states, num_actions", [(1, 3, 3), (2, 3, 2), (3, 2, 3)])
def test_equals_the_best_of_all_deterministic_policies(x64, num_agents, num_states, num_actions):
    choices = jnp.array(list(itertools.product(range(num_actions), repeat=num_states)))

    def both(key):
        game, policy = random_problem(key, num_agents, num_states, num_actions)
        agent = num_agents - 1
        tried = jax.vmap(
            lambda choice: (
                theory.evaluate(
                    game, policy.at[agent].set(jax.nn.one_hot(choice, num_actions, dtype=float))
                ).expected_return
            )
        )(choices)
        return theory.best_response(game, policy, agent), jnp.max(tried)

    found, best = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(0), 200))
    np.testing.assert_allclose(found.expected_return, best, rtol=1e-9, atol=1e-9)
    assert bool(jnp.all(found.converged)) and int(jnp.max(found.iterations)) < 10


def test_no_random_policy_is_better(x64):
    def margin(key):
        problem_key, rival_key = jax.random.split(key)
        game, policy = random_problem(problem_key, 3, 5, 3)
        rivals = jax.nn.softmax(5.0 * jax.random.normal(rival_key, (1000, 5, 3)))
        returns = jax.vmap(lambda rival: theory.evaluate(game, policy.at[1].set(rival)).expected_return)(rivals)
        return theory.best_response(game, policy, 1).expected_return - jnp.max(returns)

    margins = jax.jit(jax.vmap(margin))(jax.random.split(jax.random.key(1), 10))
    assert bool(jnp.all(margins > 0))


def test_the_optimality_equation_holds_on_a_thousand_games(x64):
    def solved(key):
        game, policy = random_problem(key, 2, 6, 4)
        response = theory.best_response(game, policy, 0)
        played = theory.evaluate(game, policy.at[0].set(response.policy))
        return response, played, jnp.min(theory.deviation_gains(game, policy))

    response, played, least = jax.jit(jax.vmap(solved))(jax.random.split(jax.random.key(2), 1000))
    assert bool(jnp.all(response.converged))
    assert bool(jnp.all(response.residual <= 1e-10 * jnp.max(jnp.abs(played.action_value), axis=(1, 2))))
    np.testing.assert_allclose(response.expected_return, played.expected_return, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(response.value, played.value, rtol=1e-9, atol=1e-9)
    assert bool(jnp.all(least >= -1e-9))


def test_the_others_may_have_zeros(x64):
    """Against column 0 of the climbing game the best row is 0, against column 1 row 1."""
    game = theory.climbing_game()
    for column, row in ((0, 0), (1, 1), (2, 1)):
        response = theory.best_response(game, pure((2, column), 3), 0)
        assert int(jnp.argmax(response.policy[0])) == row


@pytest.mark.parametrize(
    "build, equilibria",
    [
        (theory.climbing_game, {(0, 0), (1, 1)}),
        (theory.penalty_game, {(0, 0), (1, 1), (2, 2)}),
        (lambda: theory.coordination_game(2, 3), {(0, 0), (1, 1), (2, 2)}),
        (lambda: theory.coordination_game(2, 2, gamma=0.9), {(0, 0), (1, 1)}),
    ],
)
def test_the_gap_is_zero_at_the_equilibria_only(x64, build, equilibria):
    game = build()
    for actions in itertools.product(range(game.num_actions), repeat=2):
        gap = float(theory.nash_gap(game, pure(actions, game.num_actions)))
        assert (gap < 1e-9) == (actions in equilibria), (actions, gap)


def test_the_gap_by_hand(x64):
    """Climbing at (2, 2), worth 5: either agent alone could have 6 or stay: row 1 gives 6, column 1 gives 0."""
    np.testing.assert_allclose(theory.deviation_gains(theory.climbing_game(), pure((2, 2), 3)), [1.0, 0.0], atol=1e-12)
    uniform = jnp.full((2, 1, 3), 1 / 3)
    assert float(theory.nash_gap(theory.climbing_game(), uniform)) > 1.0


def test_one_agent_at_its_optimum_has_no_gap(x64):
    game, policy = random_problem(jax.random.key(3), 1, 6, 4)
    best = theory.best_response(game, policy, 0).policy[None]
    assert float(theory.nash_gap(game, best)) == pytest.approx(0.0, abs=1e-10)
