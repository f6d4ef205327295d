"""What the MPE adapter promises beyond the Protocol, and what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits
from tasks import static_of

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs import list_tasks, make_env

SIZES = {
    ("mpe/simple_spread", True): ((18, 18, 18), (5, 5, 5)),
    ("mpe/simple_spread", False): ((18, 18, 18), (5, 5, 5)),
    ("mpe/simple_reference", True): ((21, 21), (15, 15)),
    ("mpe/simple_reference", False): ((21, 21), (50, 50)),
    ("mpe/simple_speaker_listener", True): ((3, 11), (3, 5)),
    ("mpe/simple_speaker_listener", False): ((3, 11), (3, 5)),
}


@pytest.mark.parametrize("task, continuous", sorted(SIZES))
def test_sizes(task, continuous):
    spec = make_env(static_of(task, continuous_actions=continuous)).spec
    assert (spec.observation_sizes, spec.action_sizes) == SIZES[task, continuous]
    assert spec.state_size == sum(spec.observation_sizes) and spec.episode_length == 25
    assert spec.discrete is not continuous


def test_continuous_by_default():
    assert not any(make_env(Static(task=task)).spec.discrete for task in list_tasks() if task.startswith("mpe/"))


def test_team_reward_is_the_sum_or_the_mean():
    one, other = (make_env(static_of("mpe/simple_spread", team_reward=kind)) for kind in ("sum", "mean"))
    key, action = jax.random.key(3), jnp.full((3, 5), 0.5)

    @jax.jit
    def rewards(key):
        env_state, _ = one.reset(key)
        return one.step(key, env_state, action)[1].reward, other.step(key, env_state, action)[1].reward

    total, mean = rewards(key)
    assert total < 0
    np.testing.assert_allclose(total, 3 * mean, rtol=1e-6)
    assert (one.spec.team_reward, other.spec.team_reward) == ("sum", "mean")


def test_actions_are_clipped_and_padding_is_ignored():
    env = make_env(Static(task="mpe/simple_speaker_listener"))
    step = jax.jit(env.step)
    key = jax.random.key(0)
    env_state, timestep = jax.jit(env.reset)(key)
    action = jnp.array([[0.0, 1.0, 0.5, 0.0, 0.0], [0.3, 0.0, 1.0, 0.0, 0.2]])
    outside = jnp.array([[-2.0, 7.0, 0.5, 0.0, 0.0], [0.3, -0.1, 1.5, -9.0, 0.2]])
    padding = action.at[0, 3:].set(jnp.array([0.9, jnp.nan]))
    expected = step(key, env_state, action)
    assert_same_bits(step(key, env_state, outside), expected)
    assert_same_bits(step(key, env_state, padding), expected)
    assert timestep.action_mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    other = step(key, env_state, action.at[1, 2].set(0.5))
    assert (other[1].observation != expected[1].observation).any()


def test_the_state_is_all_observations():
    env = make_env(Static(task="mpe/simple_speaker_listener"))
    _, timestep = jax.jit(env.reset)(jax.random.key(5))
    speaker, listener = timestep.observation
    np.testing.assert_array_equal(timestep.state, np.concatenate([speaker[:3], listener]))


@pytest.mark.parametrize("task", ["mpe/simple_reference", "mpe/simple_speaker_listener"])
def test_a_fixed_number_of_agents_cannot_be_chosen(task):
    with pytest.raises(SettingsError) as error:
        make_env(static_of(task, num_agents=3))
    assert str(error.value) == f"num_agents = 3 cannot be chosen for {task}, which has 2 agents; leave it out"


@pytest.mark.parametrize("task", ["mpe/simple_sprad", "simple_spread", "mpe", "", "probe/"])
def test_unknown_tasks(task):
    with pytest.raises(SettingsError) as error:
        make_env(Static(task=task))
    assert str(error.value).startswith(f"task = {task!r} is unknown; ")
    assert str(error.value).endswith(f"allowed are {', '.join(list_tasks())}")
    if "spr" in task:
        assert "did you mean mpe/simple_spread?" in str(error.value)


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("num_agents", [2, 5])
def test_simple_spread_is_that_of_jaxmarl(num_agents, continuous):
    """Crowded, so that agents collide: positions to the bit, observations and rewards to rounding."""
    adapter: Any = make_env(static_of("mpe/simple_spread", num_agents=num_agents, continuous_actions=continuous))
    ours, kind = adapter._env, "Continuous" if continuous else "Discrete"
    theirs = type(ours).mro()[1](num_agents=num_agents, num_landmarks=num_agents, action_type=kind)
    theirs.step_env = jax.numpy_rank_promotion("allow")(theirs.step_env)
    key = jax.random.key(num_agents)
    _, state = ours.reset(key)
    state = state.replace(p_pos=0.2 * state.p_pos)

    def step(states, step_key):
        draw = jax.random.uniform(step_key, (num_agents, 5))
        action = draw if continuous else jnp.argmax(draw, axis=-1)
        named = dict(zip(theirs.agents, action, strict=True))
        observation, one, reward, *_ = ours.step_env(step_key, states[0], action)
        by_agent, other, rewards, *_ = theirs.step_env(step_key, states[1], named)
        named = [jnp.stack([x[agent] for agent in theirs.agents]) for x in (by_agent, rewards)]
        return (one, other), ((one.p_pos, observation, reward), (other.p_pos, *named))

    _, (one, other) = jax.jit(lambda k: jax.lax.scan(step, (state, state), jax.random.split(k, 20)))(key)
    for mine, reference in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5, atol=1e-6)
    alone = [float(reward.min()) < float(reward.max()) for reward in one[2]]
    assert num_agents == 2 or any(alone)  # some collided and others did not


@pytest.mark.parametrize("task, goals", [("simple_spread", 0), ("simple_reference", 2), ("simple_speaker_listener", 1)])
def test_what_there_is_to_draw(task, goals):
    env: Any = make_env(Static(task=f"mpe/{task}", agent_id=True))
    env_state, _ = jax.jit(env.reset)(jax.random.key(0))
    scene = env.scene(env_state)
    num_agents = env.spec.num_agents
    assert scene.position.shape == (num_agents + 3, 2) == (*scene.radius.shape, 2)
    assert scene.velocity.shape == (num_agents, 2) and scene.message.shape[0] == num_agents
    assert (scene.goal >= num_agents).tolist() == [False] * (num_agents - goals) + [True] * goals
    assert scene.speaks.tolist() == {0: [False] * 3, 1: [True, False], 2: [True, True]}[goals]
    assert env.scene.__name__ == "scene" and not hasattr(env, "webpage")


@pytest.mark.parametrize("task", sorted({task for task, _ in SIZES}))
def test_steps_are_not_random(task):
    """JaxMARL scales its noise by 0, so that the adapter may leave the key of a step out."""
    env: Any = make_env(Static(task=task))
    assert not np.any(env._env.u_noise) and not np.any(env._env.c_noise)
