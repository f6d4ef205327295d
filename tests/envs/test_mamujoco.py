"""Multi-agent MuJoCo on the C engine: against gymnasium, and by hand."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits

from ltro_jax.config import SettingsError, Static
from ltro_jax.config.families import MaMuJoCoOptions
from ltro_jax.envs import make_env, mamujoco_bodies
from ltro_jax.envs.base import standardise_vector
from ltro_jax.envs.mamujoco import MaMuJoCo
from ltro_jax.envs.mamujoco_bodies import BODIES, TASKS, load_model, neighbours, partition_of
from ltro_jax.envs.mamujoco_engine import MujocoEngine, float64_words

pytest.importorskip("mujoco")
if importlib.util.find_spec("gymnasium") is None:
    pytest.skip("needs the extra mamujoco", allow_module_level=True)
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from mamujoco_rollouts import drift, replay, start_of  # noqa: E402
from record_mamujoco import OBSERVED_EVERY, record  # noqa: E402


def make(name: str, **options: Any) -> MaMuJoCo:
    return MaMuJoCo(name, MaMuJoCoOptions(**options))


def replay_in_c(body: str, recorded: Any) -> Any:
    engine = MujocoEngine(body)
    fields = engine._stepper.fields
    _, x = start_of(engine, recorded)
    words = jnp.asarray(np.append(recorded["initial"], x).view(np.uint32))

    def numbers(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.ascontiguousarray(states).view(np.float64)
        return rows[:, fields.qpos], rows[:, fields.qvel]

    return engine, replay(engine, words, recorded["control"], numbers)


def check_parity(body: str, recorded: Any) -> None:
    engine, ours = replay_in_c(body, recorded)
    assert drift(ours.qpos, recorded["qpos"]) < 1e-6 and drift(ours.qvel, recorded["qvel"]) < 1e-6
    np.testing.assert_allclose(ours.reward, recorded["reward"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(ours.terminated, recorded["terminated"])
    seen = ours.observation[OBSERVED_EVERY - 1 :: OBSERVED_EVERY]
    forces = 6 * engine.model.nbody * engine.body.contact_forces
    np.testing.assert_array_equal(seen[:, seen.shape[1] - forces :], 0)
    with_them = recorded["observation"].shape[1] == seen.shape[1]  # the ant's observation leaves them out
    wanted = recorded["observation"][1:, : seen.shape[1] - forces]
    assert with_them or wanted.shape[1] == recorded["observation"].shape[1]
    np.testing.assert_allclose(seen[:, : seen.shape[1] - forces], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("body", BODIES)
def test_the_c_engine_repeats_the_recorded_rollout(body):
    check_parity(body, np.load(HERE / "golden" / f"mamujoco_{body}.npz"))


@pytest.mark.parametrize("body", BODIES)
def test_the_c_engine_repeats_gymnasium(body):
    pytest.importorskip("imageio")  # gymnasium imports it with its MuJoCo environments
    check_parity(body, record(body))


@pytest.mark.parametrize(
    "name, agents, actions, size",
    [
        ("ant_4x2", 4, 2, 111),
        ("ant_8x1", 8, 1, 111),
        ("halfcheetah_2x3", 2, 3, 17),
        ("halfcheetah_6x1", 6, 1, 17),
        ("walker2d_3x2", 3, 2, 17),
        ("walker2d_6x1", 6, 1, 17),
        ("walker2d_2x3", 2, 3, 17),
        ("hopper_3x1", 3, 1, 11),
        ("humanoid_17x1", 17, 1, 376),
        ("humanoid", 1, 17, 376),
        ("swimmer_2x1", 2, 1, 8),
    ],
)
def test_sizes(name, agents, actions, size):
    spec = make(name).spec
    assert spec.num_agents == agents and spec.action_sizes == (actions,) * agents and not spec.discrete
    assert spec.state_size == size and spec.observation_sizes == (size + agents,) * agents
    assert spec.episode_length == 1000 and spec.team_reward == "shared" and spec.name == f"mamujoco/{name}"


def test_every_split_covers_its_body():
    for name, parts in TASKS.items():
        joints = [joint for part in parts for joint in part]
        assert sorted(joints) == sorted(mamujoco_bodies.ROWS[mamujoco_bodies.body_of(name)])


def test_actions_reach_the_actuators_of_their_joints():
    ant = make("ant_4x2")
    action = jnp.arange(8, dtype=jnp.float32).reshape(4, 2) / 10
    # The model's actuators drive leg 4 first, then legs 1, 2 and 3.
    np.testing.assert_allclose(ant.control(action), np.array([6, 7, 0, 1, 2, 3, 4, 5]) / 10, rtol=1e-6)
    humanoid = make("humanoid_17x1")
    np.testing.assert_allclose(humanoid.control(jnp.full((17, 1), 2.0)), np.full(17, 0.8), rtol=1e-6)  # not clipped


def test_agents_observe_the_standardised_state_and_their_number():
    env = make("ant_4x2")
    env_state, first = jax.jit(env.reset)(jax.random.key(0))
    rows = np.asarray(env_state.physics).view(np.float64)
    fields = env._engine._stepper.fields
    whole = np.concatenate([rows[fields.qpos][2:], rows[fields.qvel], np.zeros(84)]).astype(np.float32)
    np.testing.assert_allclose(first.state, standardise_vector(jnp.asarray(whole)), rtol=1e-5, atol=1e-6)
    for agent in range(4):
        seen = np.concatenate([whole, np.eye(4, dtype=np.float32)[agent]])
        np.testing.assert_allclose(first.observation[agent], (seen - seen.mean()) / seen.std(), rtol=1e-4, atol=1e-5)


def test_agent_obsk():
    """The ant's torso has 5 visible positions and 6 velocities; hips are each other's neighbours."""
    own, beside = make("ant_4x2", agent_obsk=0), make("ant_4x2", agent_obsk=1)
    assert own.spec.observation_sizes == (11 + 4,) * 4 and beside.spec.observation_sizes == (11 + 4 + 3,) * 4
    env_state, first = jax.jit(beside.reset)(jax.random.key(3))
    rows = np.asarray(env_state.physics).view(np.float64)
    qpos, qvel = (rows[place] for place in beside._engine._stepper.fields[:2])
    hips = qpos[[7, 9, 11]]  # of legs 1, 2 and 3
    wanted = np.concatenate([qpos[2:7], qvel[:6], qpos[13:15], qvel[12:14], hips])
    np.testing.assert_allclose(first.observation[3], wanted, rtol=1e-6)
    unequal = make("ant", partition="hip_1|ankle_1,hip_2,ankle_2,hip_3,ankle_3,hip_4,ankle_4", agent_obsk=0)
    assert unequal.spec.observation_sizes == (13, 25) and unequal.spec.action_sizes == (1, 7)


def test_neighbours():
    ant = neighbours(load_model("ant"))
    assert ant["ankle_2"] == {"hip_2"} and ant["hip_1"] == {"ankle_1", "hip_2", "hip_3", "hip_4"}
    cheetah = neighbours(load_model("halfcheetah"))
    assert cheetah["bthigh"] == {"bshin", "fthigh"} and cheetah["ffoot"] == {"fshin"}
    humanoid = neighbours(load_model("humanoid"))
    assert humanoid["left_knee"] == {"left_hip_x", "left_hip_y", "left_hip_z"}
    assert humanoid["right_elbow"] == {"right_shoulder1", "right_shoulder2"}


@pytest.mark.parametrize("name, bound, normal", [("ant", 0.1, True), ("hopper", 0.005, False), ("swimmer", 0.1, False)])
def test_reset_noise(name, bound, normal):
    env = make(name)
    states, first = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 500))
    fields = env._engine._stepper.fields
    rows = np.asarray(states.physics).view(np.float64)
    noise = rows[:, fields.qpos] - env._engine.model.qpos0
    assert np.abs(noise).max() <= bound * 1.0001 and noise.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert rows[:, fields.qvel].std() == pytest.approx(bound if normal else bound / np.sqrt(3), rel=0.05)
    assert not first.reward.any() and not first.done.any()


def test_a_fall_terminates_and_the_time_limit_truncates():
    env = MaMuJoCo("hopper_3x1", MaMuJoCoOptions(), episode_length=60)
    step = jax.jit(env.step)
    env_state, _ = jax.jit(env.reset)(jax.random.key(0))
    ends = []
    for _ in range(60):
        env_state, timestep = step(jax.random.key(0), env_state, jnp.ones((3, 1)))
        ends.append((bool(timestep.terminated), bool(timestep.truncated)))
    assert (True, False) in ends and all(end != (True, True) for end in ends)
    swimmer = MaMuJoCo("swimmer_2x1", MaMuJoCoOptions(), episode_length=1)
    env_state, _ = jax.jit(swimmer.reset)(jax.random.key(0))
    _, timestep = jax.jit(swimmer.step)(jax.random.key(0), env_state, jnp.zeros((2, 1)))
    assert timestep.truncated and not timestep.terminated


def test_an_environment_has_the_same_bits_alone_and_in_any_batch():
    env = make("humanoid_17x1")
    keys = jax.random.split(jax.random.key(1), 9)
    actions = jax.random.uniform(jax.random.key(2), (9, 17, 1), minval=-1, maxval=1)
    states, _ = jax.jit(jax.vmap(env.reset))(keys)
    batch = jax.jit(jax.vmap(env.step))(keys, states, actions)
    for index in (0, 8):
        state, _ = jax.jit(env.reset)(keys[index])
        assert_same_bits(state, jax.tree.map(lambda leaf, i=index: leaf[i], states))
        alone = jax.jit(env.step)(keys[index], state, actions[index])
        assert_same_bits(alone[0], jax.tree.map(lambda leaf, i=index: leaf[i], batch[0]))
        np.testing.assert_array_equal(alone[1].reward, batch[1].reward[index])


def test_float64_words():
    values = np.array([0.0, -0.0, 1.25, -3.4e38, 1.2e-38, -7.1e-3], np.float32)
    words = np.asarray(jax.jit(float64_words)(jnp.asarray(values)))
    np.testing.assert_array_equal(words.view(np.float64)[:, 0], values.astype(np.float64))


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("ant_4x2", {"partition": "hip_1"}, "mamujoco/ant_4x2 has a partition already; use mamujoco/ant"),
        ("hopper", {"partition": "thigh_joint|knee"}, "hopper has no joint 'knee'; its joints are thigh_joint"),
        ("hopper", {"partition": "thigh_joint|leg_joint,thigh_joint"}, "names the joint 'thigh_joint' twice"),
        ("hopper", {"partition": "thigh_joint|foot_joint"}, "leaves out leg_joint; give every joint of hopper"),
    ],
)
def test_bad_options(name, options, sentence):
    with pytest.raises(SettingsError) as error:
        make(name, **options)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_partition_of_ones_own():
    assert partition_of("hopper", " foot_joint , leg_joint|thigh_joint") == (
        ("foot_joint", "leg_joint"),
        ("thigh_joint",),
    )
    env = make("hopper", partition="foot_joint,leg_joint|thigh_joint")
    action = jnp.array([[1.0, 2.0], [3.0, 9.0]])
    np.testing.assert_array_equal(env.control(action), [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(jax.jit(env.reset)(jax.random.key(0))[1].action_mask, [[True, True], [True, False]])


def test_the_c_engine_needs_a_cpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(SettingsError, match="runs on a CPU only, and JAX uses 'gpu'; use backend = 'mjx'"):
        make("hopper", backend="mujoco")


def test_a_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs the extra 'mamujoco', which is not installed"):
        make_env(Static(task="mamujoco/hopper"))


MANY_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec
from ltro_jax.config.families import MaMuJoCoOptions
from ltro_jax.envs.base import step_and_reset
from ltro_jax.envs.mamujoco import MaMuJoCo

env, num_envs = MaMuJoCo("humanoid_17x1", MaMuJoCoOptions(), episode_length=5), 12
weights = jnp.full((376, 512), 0.01), jnp.full((512, 17), 0.01)

def play(seed):
    key = jax.random.key(seed)
    states, timestep = jax.vmap(env.reset)(jax.random.split(key, num_envs))
    def step(carry, key):
        states, timestep = carry
        keys = jax.random.split(key, num_envs)
        actions = jnp.tanh(jnp.tanh(timestep.state @ weights[0]) @ weights[1])[..., None]
        states, timestep, outcome = step_and_reset(env, keys, keys, states, actions)
        return (states, timestep), outcome.reward
    return jax.lax.scan(step, (states, timestep), jax.random.split(key, 12))[1]

members = lambda seeds: jax.lax.map(play, seeds)
mesh = Mesh(np.array(jax.devices()), ("members",))
spec = PartitionSpec("members")
seeds = jnp.arange(16)
spread = jax.jit(jax.shard_map(members, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))(seeds)
np.testing.assert_array_equal(spread, jax.jit(members)(seeds))
assert np.isfinite(spread).all() and np.unique(spread[:, 0]).size == 16 * num_envs
"""


def test_members_on_eight_devices_finish_and_equal_those_on_one():
    """On two cores: callbacks of eight devices share the threads, between matrix products of XLA's own."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    command: list[str] = [sys.executable, "-c", MANY_DEVICES]
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[:2]
        command[2] = f"import os\nos.sched_setaffinity(0, {cores})\n" + MANY_DEVICES
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
