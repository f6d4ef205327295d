"""Games are probability models of the stated shape, and refuse arrays that are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.laboratories import games as theory


def test_random_games_are_games(cases):
    np.testing.assert_allclose(cases.game.transition.sum(-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(cases.game.start.sum(-1), 1.0, rtol=1e-12)
    assert np.all(cases.game.transition >= 0) and np.all(np.abs(cases.game.reward) <= 1)
    assert np.all((cases.game.gamma >= 0) & (cases.game.gamma < 1)) and np.any(cases.game.gamma == 0)


def test_joint_actions_are_flattened_as_reshape_does(x64):
    payoff = np.arange(27.0).reshape(3, 3, 3)
    game = theory.matrix_game(payoff)
    for joint, (a, b, c) in enumerate(theory.joint_actions(3, 3).T):
        assert game.reward[0, joint] == payoff[a, b, c]


def test_the_joint_policy_is_the_product(x64):
    policy = np.asarray(jax.nn.softmax(jax.random.normal(jax.random.key(0), (3, 2, 2))))
    expected = np.einsum("sa,sb,sc->sabc", *policy).reshape(2, 8)
    np.testing.assert_allclose(theory.joint_policy(jnp.asarray(policy)), expected, rtol=1e-14)
    np.testing.assert_allclose(np.exp(theory.joint_log_policy(jnp.log(policy))), expected, rtol=1e-12)


@pytest.mark.parametrize("num_agents, height, width, actions", [(2, 1, 3, 3), (3, 1, 3, 3), (4, 1, 2, 3), (2, 2, 2, 5)])
def test_meeting_games(x64, num_agents, height, width, actions):
    game = theory.meeting_game(num_agents, height, width)
    assert game.num_states == (height * width) ** num_agents and game.num_actions == actions
    np.testing.assert_allclose(game.transition.sum(-1), 1.0, rtol=1e-12)
    assert np.count_nonzero(game.reward[:, 0]) == height * width  # one meeting state for each cell


def test_agents_who_stay_together_are_paid_for_ever(x64):
    game = theory.meeting_game(num_agents=2, slip=0.3, gamma=0.5)
    stay = jnp.zeros((2, 9, 3)).at[:, :, 0].set(1.0)
    np.testing.assert_allclose(theory.evaluate(game, stay).expected_return, (3 / 9) / (1 - 0.5), rtol=1e-12)


def test_a_move_slips_and_stops_at_the_wall(x64):
    """One agent, cells 0 1 2, action 1 is left."""
    game = theory.meeting_game(num_agents=1, slip=0.25)
    np.testing.assert_allclose(game.transition[2, 1], [0.0, 0.75, 0.25])
    np.testing.assert_allclose(game.transition[0, 1], [1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "build, sentence",
    [
        (lambda: theory.matrix_game(np.zeros((2, 3))), "all of the same length"),
        (lambda: theory.make_game(np.zeros((2, 6)), np.zeros((2, 6, 2)), np.zeros(2), 0.5, 2), "not a power"),
        (
            lambda: theory.make_game(np.zeros((2, 4)), np.zeros((2, 4, 3)), np.zeros(2), 0.5, 2),
            "do not have the shapes",
        ),
    ],
)
def test_what_is_no_game_is_refused(x64, build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


@pytest.mark.parametrize(
    "build",
    [theory.climbing_game, theory.meeting_game, lambda: theory.random_game(jax.random.key(0), 2, 2, 2, 0.9)],
)
def test_outside_the_scope_every_entry_says_what_to_do(build):
    with pytest.raises(TypeError, match=r"with ltro_jax.laboratories.games.float64\(\):"):
        build()


def test_float32_and_a_scope_that_was_left_are_refused():
    with theory.float64():
        game, policy = theory.climbing_game(), jnp.full((2, 1, 3), 1 / 3)
        with pytest.raises(TypeError, match="policy is float32"):
            theory.evaluate(game, policy.astype(jnp.float32))
        with pytest.raises(TypeError, match="log_policy is float32"):
            theory.sequential_factors(policy, policy.astype(jnp.float32), jnp.arange(2))
    for call in (theory.evaluate, theory.nash_gap, jax.jit(theory.nash_gap)):
        with pytest.raises(TypeError, match="switched off"):
            call(game, policy)
    assert jnp.result_type(float) == jnp.float32
