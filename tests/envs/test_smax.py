"""SMAX: true ends of episodes, active agents, available actions, and all battles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tasks import static_of

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs import Environment, make_env
from ltro_jax.envs.smax import ADDED, REGISTERED, UNIT_TYPES

STOP = 4


@pytest.fixture(scope="module")
def battle() -> Any:
    """3m with a time limit of 4 steps, its jitted step, and the state and time step of a reset."""
    env = make_env(Static(task="smax/3m", episode_length=4))
    return env, jax.jit(env.step), jax.jit(env.reset)(jax.random.key(0))


def with_health(env_state: Any, health: list[float]) -> Any:
    """The same battle with other health points, allies first."""
    points = jnp.array(health)
    return env_state.replace(state=env_state.state.replace(unit_health=points, unit_alive=points > 0))


def stand(env: Environment) -> jax.Array:
    return jnp.full(env.spec.num_agents, STOP)


def test_the_time_limit_is_no_true_end(battle):
    """After exactly `episode_length` steps, with both sides alive."""
    env, step, (env_state, timestep) = battle
    for count in range(1, 5):
        env_state, timestep = step(jax.random.key(count), env_state, stand(env))
        assert bool(timestep.truncated) == (count == 4)
        assert not timestep.terminated and not timestep.won
    assert timestep.active_mask.all()


@pytest.mark.parametrize("health, won", [([45.0] * 3 + [0.0] * 3, True), ([0.0] * 3 + [45.0] * 3, False)])
def test_a_side_wiped_out_is_a_true_end(battle, health, won):
    """Also at the step of the time limit."""
    env, step, (env_state, _) = battle
    for count in (0, 3):
        at = with_health(env_state, health)
        at = at.replace(state=at.state.replace(step=jnp.asarray(count, at.state.step.dtype)))
        _, timestep = step(jax.random.key(1), at, stand(env))
        assert timestep.terminated and not timestep.truncated
        assert bool(timestep.won) == won and (float(timestep.reward) >= 1.0) == won


def test_the_dead_see_nothing_can_only_stop_and_are_not_active(battle):
    env, step, (env_state, first) = battle
    assert first.active_mask.all() and first.action_mask[:, : STOP + 1].all()
    _, timestep = step(jax.random.key(1), with_health(env_state, [45.0, 0.0, 45.0] + [45.0] * 3), stand(env))
    assert timestep.active_mask.tolist() == [True, False, True]
    assert not timestep.observation[1].any() and timestep.observation[0].any()
    assert timestep.action_mask[1].tolist() == [index == STOP for index in range(8)]
    assert timestep.state.shape == (72,) and not timestep.done


def test_only_enemies_within_range_can_be_shot(battle):
    """The first of three targets is moved next to the first ally."""
    env, step, (env_state, first) = battle
    assert not first.action_mask[:, STOP + 1 :].any()
    positions = env_state.state.unit_positions.at[3].set(env_state.state.unit_positions[0] + jnp.array([2.0, 0.0]))
    near = env_state.replace(state=env_state.state.replace(unit_positions=positions))
    shoot = jnp.array([STOP + 1, STOP, STOP])
    _, timestep = step(jax.random.key(1), near, stand(env))
    assert timestep.action_mask[0, STOP + 1] and not timestep.action_mask[0, STOP + 2 :].any()
    _, shot = step(jax.random.key(1), near, shoot)
    assert shot.reward > timestep.reward


def test_what_there_is_to_draw(battle):
    """Allies name their targets from the first enemy on, enemies theirs from the last ally back."""
    env, _, (env_state, _) = battle
    hurt = with_health(env_state, [45.0, 22.5, 0.0] + [45.0] * 3)
    scene = env.scene(hurt.replace(state=hurt.state.replace(prev_attack_actions=jnp.array([5, 7, 0, 5, 7, 0]))))
    assert scene.target.tolist() == [3, 5, -1, 2, 0, -1]
    assert (
        scene.health.tolist() == [1.0, 0.5, 0.0, 1.0, 1.0, 1.0] and scene.is_ally.tolist() == [True] * 3 + [False] * 3
    )
    np.testing.assert_array_equal(scene.position, env_state.state.unit_positions)


def test_all_battles_of_jaxmarl_and_ours():
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    assert set(REGISTERED) == set(MAP_NAME_TO_SCENARIO)
    for name, sizes in {"8m_vs_9m": (8, 9), "corridor": (6, 24)}.items():
        env: Any = make_env(Static(task=f"smax/{name}"))
        assert env.spec.num_agents == sizes[0] and env.spec.action_sizes == (5 + sizes[1],) * sizes[0]
        types = jax.jit(env.reset)(jax.random.key(0))[0].state.unit_types
        kinds = [UNIT_TYPES[unit] for side in ADDED[name] for unit, count in side for _ in range(count)]
        np.testing.assert_array_equal(types, kinds)


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"team_reward": "mean"}, "team_reward = 'mean' has no meaning on smax/3m; leave it out"),
        ({"num_agents": 4}, "num_agents = 4 has no meaning on smax/3m; leave it out"),
        ({"episode_length": 1}, "episode_length = 1 is not possible on smax/3m; it must be at least 2"),
    ],
)
def test_options_it_does_not_have(settings, sentence):
    with pytest.raises(SettingsError) as error:
        make_env(static_of("smax/3m", **settings))
    assert str(error.value) == sentence
