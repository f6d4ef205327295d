"""Best responses are optimal, and the Nash gap is zero at equilibria and nowhere else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.laboratories import games as theory


def pure(actions, num_actions):
    """Deterministic joint policy of a game with one state."""
    return np.eye(num_actions)[list(actions)][:, None]


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 2, 3)])
def test_equals_the_best_of_all_deterministic_policies(problems, shape):
    num_agents, num_states, num_actions = shape
    choices = np.array(list(itertools.product(range(num_actions), repeat=num_states)))
    rows = np.eye(num_actions)[choices]

    def both(game, logits):
        policy, agent = jax.nn.softmax(3.0 * logits), num_agents - 1
        returns = jax.vmap(lambda row: theory.evaluate(game, policy.at[agent].set(row)).expected_return)(rows)
        return theory.best_response(game, policy, agent), jnp.max(returns)

    found, best = jax.jit(jax.vmap(both))(*problems(0, shape, 200))
    np.testing.assert_allclose(found.expected_return, best, rtol=1e-9, atol=1e-9)
    assert np.all(found.converged) and np.max(found.iterations) < 10


def test_no_random_policy_is_better(problems):
    shape = (3, 5, 3)
    rivals = np.random.default_rng(0).dirichlet(np.full(3, 0.3), (1000, 5))

    def margin(game, logits):
        policy = jax.nn.softmax(logits)
        returns = jax.vmap(lambda rival: theory.evaluate(game, policy.at[1].set(rival)).expected_return)(rivals)
        return theory.best_response(game, policy, 1).expected_return - jnp.max(returns)

    assert np.all(np.asarray(jax.jit(jax.vmap(margin))(*problems(1, shape, 10))) > 0)


def test_the_optimality_equation_holds_on_a_thousand_games(problems):
    def solved(game, logits):
        policy = jax.nn.softmax(3.0 * logits)
        response = theory.best_response(game, policy, 0)
        best = policy.at[0].set(response.policy)
        return response, theory.evaluate(game, best), theory.deviation_gains(game, best)

    response, played, gains = jax.jit(jax.vmap(solved))(*problems(2, (2, 6, 4), 1000))
    assert np.all(response.converged)
    assert np.all(response.residual <= 1e-10 * np.abs(played.action_value).max(axis=(1, 2)))
    np.testing.assert_allclose(response.expected_return, played.expected_return, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(response.value, played.value, rtol=1e-9, atol=1e-9)
    assert np.all(np.asarray(gains) >= -1e-9) and np.all(np.abs(gains[:, 0]) <= 1e-9)


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
