"""Probe games: their rewards by hand, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tasks import static_of

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs import make_env


def reward(static: Static, action: jax.Array, symbol: int = 0) -> float:
    env = make_env(static)
    outcome = env.step(jax.random.key(0), (jnp.int32(0), jnp.int32(symbol)), action)[1]
    return float(outcome.reward)


def test_matching_pays_only_when_all_agree():
    static = static_of("probe/matching", num_agents=3)
    assert reward(static, jnp.array([2, 2, 2]), symbol=2) == 1.0
    assert reward(static, jnp.array([2, 2, 1]), symbol=2) == 0.0
    assert reward(static, jnp.array([2, 2, 2]), symbol=0) == 0.0


def test_climbing_pays_the_table():
    static = Static(task="probe/climbing")
    table = [[reward(static, jnp.array([row, column])) for column in range(3)] for row in range(3)]
    np.testing.assert_allclose(11 * np.array(table), [[11, -30, 0], [-30, 7, 6], [0, 0, 5]], atol=1e-5)


def test_target_pays_the_distance():
    static = Static(task="probe/target")
    assert reward(static, jnp.array([[0.3], [0.3]])) == 0.0
    assert reward(static, jnp.array([[0.8], [0.3]])) == pytest.approx(-0.125)


def test_unlike_pays_the_last_action():
    static = static_of("probe/unlike", num_agents=3)
    spec = make_env(static).spec
    assert spec.action_sizes == (2, 3, 4) and spec.observation_sizes == (3, 4, 5)
    assert reward(static, jnp.array([1, 2, 3])) == 1.0
    assert reward(static, jnp.array([1, 2, 0])) == pytest.approx(2 / 3)


def test_recall_shows_the_symbol_once_and_pays_at_the_end():
    env = make_env(Static(task="probe/recall"))
    env_state, first = env.reset(jax.random.key(1))
    symbol = int(env_state[1])
    assert first.observation[:, symbol].tolist() == [1.0, 1.0]
    for count in range(4):
        env_state, timestep = env.step(jax.random.key(0), env_state, jnp.array([symbol, (symbol + 1) % 3]))
        assert not timestep.observation.any() and not timestep.state.any()
        assert float(timestep.reward) == (0.5 if count == 3 else 0.0)
        assert bool(timestep.terminated) == (count == 3)


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (
            {"task": "probe/target", "continuous_actions": False},
            "continuous_actions = False is not possible: probe/target has continuous actions only",
        ),
        (
            {"task": "probe/matching", "continuous_actions": True},
            "continuous_actions = True is not possible: probe/matching has discrete actions only",
        ),
        (
            {"task": "probe/climbing", "num_agents": 3},
            "num_agents = 3 cannot be chosen for probe/climbing, which has 2 agents",
        ),
    ],
)
def test_options_a_game_does_not_have(settings, sentence):
    with pytest.raises(SettingsError) as error:
        make_env(static_of(**settings))
    assert str(error.value) == sentence
