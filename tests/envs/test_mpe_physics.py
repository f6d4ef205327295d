"""The MPE tasks with the physics of PettingZoo 1.22: against recorded episodes, against the package, and by hand."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tasks import static_of

from ltro_jax.config import SettingsError
from ltro_jax.config.families import MPEOptions
from ltro_jax.envs import make_env
from ltro_jax.envs.mpe import MPE
from ltro_jax.envs.pettingzoo import PettingZooBatch

sys.path.insert(0, str(Path(__file__).parent))
from record_pettingzoo import CASES, GOLDEN, NUM_EPISODES, NUM_STEPS, SEED, Case, record

INSTALLED = importlib.util.find_spec("pettingzoo") and importlib.metadata.version("pettingzoo").startswith("1.22.")


def make(case: Case, physics: str = "pettingzoo") -> MPE:
    options = MPEOptions(num_agents=case.num_agents, continuous_actions=case.continuous, physics=physics)
    return MPE(case.scenario, options, NUM_STEPS)


def replay(env: MPE, recorded: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Team rewards `[K, 25]` and observations `[K, 26, N, O]` under the recorded actions."""

    def episode(position: Any, goal: Any, actions: Any) -> Any:
        state: Any = env.reset(jax.random.key(0))[0]
        own = None if state.goal is None else goal[-state.goal.size :].reshape(state.goal.shape)
        state = state.replace(p_pos=position, goal=own)
        first = env._timestep(env._env.get_obs(state), jnp.zeros(()), jnp.zeros((), bool)).observation

        def step(state: Any, action: Any) -> Any:
            state, timestep = env.step(jax.random.key(1), state, action)
            return state, (timestep.reward, timestep.observation)

        _, (reward, observation) = jax.lax.scan(step, state, actions)
        return reward, jnp.concatenate([first[None], observation])

    inputs = (jnp.asarray(recorded["position"], jnp.float32), jnp.asarray(recorded["goal"]), recorded["action"])
    with jax.numpy_rank_promotion("allow"):  # in JaxMARL
        reward, observation = jax.jit(jax.vmap(episode))(*inputs)
    return np.asarray(reward), np.asarray(observation)


def check_parity(case: Case, recorded: Mapping[str, np.ndarray]) -> None:
    reward, observation = replay(make(case), recorded)
    np.testing.assert_allclose(observation, recorded["observation"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(reward, recorded["reward"].sum(-1), rtol=1e-5, atol=1e-5)


def recorded_episodes(case: Case) -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        prefix = f"{case.name}/"
        return {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_episodes_are_those_of_pettingzoo(case):
    recorded = recorded_episodes(case)
    check_parity(case, recorded)
    if case.num_agents == 5:  # some agents collide, others do not
        assert (np.ptp(recorded["reward"], axis=-1) > 0.4).any()
    _, observation = replay(make(case, "jaxmarl"), recorded)
    assert np.abs(observation - recorded["observation"]).max() > 0.1


@pytest.mark.skipif(not INSTALLED, reason="needs pettingzoo 1.22 and pygame")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_episodes_are_those_of_the_installed_pettingzoo(case):
    check_parity(case, record(case, seed=11))
    again, recorded = record(case, SEED), recorded_episodes(case)
    for name, array in recorded.items():
        np.testing.assert_allclose(again[name], array, rtol=0, atol=1e-6)


@pytest.mark.skipif(not INSTALLED, reason="needs pettingzoo 1.22 and pygame")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_policies_are_scored_in_the_same_environment(case):
    recorded = recorded_episodes(case)
    given = {"num_agents": case.num_agents} if case.num_agents else {}
    static = static_of(f"mpe/{case.scenario}", physics="pettingzoo", continuous_actions=case.continuous, **given)
    batch = PettingZooBatch(static, make_env(static).spec, NUM_EPISODES)
    steps = [(batch.reset([SEED, SEED + 1]), np.zeros(NUM_EPISODES))]
    steps += [batch.step(recorded["action"][:, step]) for step in range(NUM_STEPS)]
    observation, reward = (np.stack(rows, axis=1) for rows in zip(*steps, strict=True))
    np.testing.assert_allclose(observation, recorded["observation"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(reward[:, 1:], recorded["reward"].sum(-1), rtol=1e-6)


def test_a_collision_with_itself_and_the_new_velocity():
    """One agent at rest, pushed to the right by 5 for a step of 0.1: v = 0.5 and x = 0.05 at once."""
    options = MPEOptions(num_agents=1, physics="pettingzoo")
    env = MPE("simple_spread", options, 25)
    state: Any = env.reset(jax.random.key(0))[0]
    state = state.replace(p_pos=jnp.zeros((2, 2)))
    state, timestep = jax.jit(env.step)(jax.random.key(1), state, jnp.array([[0.0, 1.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(timestep.observation[0, :4], [0.5, 0.0, 0.05, 0.0], atol=1e-7)
    assert timestep.reward.item() == pytest.approx(-0.5 - 0.5 * 0.05)


def test_only_the_family_has_the_option():
    assert (
        make_env(static_of("mpe/simple_spread")).spec
        == make_env(static_of("mpe/simple_spread", physics="pettingzoo")).spec
    )
    with pytest.raises(SettingsError, match="physics = 'mujoco' is not one of jaxmarl, pettingzoo"):
        static_of("mpe/simple_spread", physics="mujoco")
    with pytest.raises(SettingsError, match="physics = 'pettingzoo' has no meaning on smax/3m; leave it out"):
        static_of("smax/3m", physics="pettingzoo")
