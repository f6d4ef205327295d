"""Collection: what is stored is what happened, and episodes are counted across rollouts."""

from typing import Any

import jax
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits

from ltro_jax import make_train
from ltro_jax.training.returns import returns
from ltro_jax.training.rollout import rollout


@pytest.fixture(scope="module")
def collected(tiny) -> Any:
    """Three rollouts of 8 steps of episodes of 3, and of the endless game's of 5; with the returns of the last."""

    def collect(**settings: Any) -> Any:
        config = tiny(**settings)
        train = make_train(config)
        state = jax.jit(train.init)(0, config.hypers)

        @jax.jit
        def one(key: jax.Array, state: Any) -> Any:
            after, transitions, episodes = rollout(key, state, config.hypers, train.parts)
            return after, transitions, episodes, returns(transitions, state, config.hypers, train.parts)

        parts = []
        for key in jax.random.split(jax.random.key(7), 3):
            first = state
            state, *rest = one(key, state)
            parts.append((first, *rest, state))
        return parts

    return {
        "matching": collect(num_agents=3, algorithm="ippo"),
        "endless": collect(task="probe/endless", episode_length=5, truncation="mask"),
        "battle": collect(task="smax/3m", episode_length=5),
    }


@pytest.mark.parametrize("game", ["matching", "endless", "battle"])
def test_episodes_are_counted_as_in_a_python_loop(collected, game):
    running = np.zeros((2, 4))  # return and length of each environment
    ended = 0
    for _, transitions, episodes, _, after in collected[game]:
        done = np.asarray(transitions.terminated | transitions.truncated)
        np.testing.assert_array_equal(episodes.ended, done)
        for step in range(8):
            running += [transitions.reward[step], np.ones(4)]
            np.testing.assert_allclose(episodes.episode_return[step], running[0])
            np.testing.assert_array_equal(episodes.episode_length[step], running[1])
            ended += done[step].sum()
            running[:, done[step]] = 0
        np.testing.assert_allclose(after.tally.episode_return, running[0])
        np.testing.assert_array_equal(after.tally.episode_length, running[1])
    assert ended == 4 * (24 // (3 if game == "matching" else 5))


@pytest.mark.parametrize("game", ["matching", "endless"])
def test_transitions_follow_one_another(collected, game):
    for first, transitions, _, _, after in collected[game]:
        done = np.asarray(transitions.terminated | transitions.truncated)
        assert_same_bits(transitions.observation[0], first.timestep.observation)
        seen = np.asarray(transitions.state[1:])
        true_next = np.asarray(transitions.next_state[:-1])
        going_on = ~done[:-1]
        np.testing.assert_array_equal(true_next[going_on], seen[going_on])
        if game == "matching":  # a new symbol is drawn, and the true next state still shows the old symbol
            assert (true_next[done[:-1]] != seen[done[:-1]]).any()
            np.testing.assert_array_equal(transitions.next_state[done], np.asarray(transitions.state)[done])
            assert not transitions.truncated.any()
        else:
            assert not transitions.terminated.any() and transitions.truncated.any()
        assert int(after.iteration) == int(first.iteration)


def test_stored_actions_and_log_probabilities(collected):
    for _, transitions, _, (agents, *_), _ in collected["matching"]:
        assert transitions.action.shape == (8, 4, 3) and transitions.action.dtype == np.int32
        assert set(np.unique(transitions.action)) <= {0, 1, 2}
        assert (transitions.log_prob <= 0).all() and transitions.log_prob.shape == (8, 4, 3)
        np.testing.assert_array_equal(np.moveaxis(agents.action, 0, 2), transitions.action)
        np.testing.assert_array_equal(np.moveaxis(agents.log_prob, 0, 2), transitions.log_prob)


def test_advantages_are_standardised_per_agent(collected):
    for _, transitions, _, (agents, critics, _), _ in collected["matching"]:
        if not transitions.reward.any():
            continue
        np.testing.assert_allclose(np.mean(agents.advantage, axis=(1, 2)), 0.0, atol=1e-5)
        np.testing.assert_allclose(np.std(agents.advantage, axis=(1, 2)), 1.0, rtol=1e-3)
        assert critics.state.shape == (3, 8, 4, 3)  # a critic per agent, on its own observation


def test_masked_time_limits_teach_the_critic_nothing(collected):
    """Where `truncation = "mask"` cuts, the return target is the value itself."""
    for first, transitions, _, (_, critics, _), _ in collected["endless"]:
        mean, variance = 0.0, 1e-2  # of a value normaliser without updates
        assert not first.critic.value_norm.debias.any()
        value = np.asarray(critics.value[0]) * np.sqrt(variance) + mean
        cut = np.asarray(transitions.truncated)
        assert_close(np.asarray(critics.value_target[0])[cut], value[cut].astype(np.float32))
        assert (np.abs(np.asarray(critics.value_target[0])[~cut] - value[~cut]) > 0.1).all()
