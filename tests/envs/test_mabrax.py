"""What the MABrax adapter promises beyond the Protocol: who sees and moves what, how an episode ends, and silence."""

import functools
import importlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tasks import static_of

from ltro_jax import Config, make_train
from ltro_jax.config import SettingsError, Static
from ltro_jax.envs import make_env, missing_extra
from ltro_jax.envs.mabrax_joints import JOINTS, TASKS, body_of, partition

pytestmark = pytest.mark.filterwarnings("ignore:Accessing .* directly:DeprecationWarning")  # by Brax, called from here
needs_brax = pytest.mark.skipif(missing_extra("mabrax/ant_4x2") is not None, reason="needs the extra mabrax")
TASK = "ant_4x2"
EVERY_TASK = [pytest.param(name, marks=() if name == TASK else pytest.mark.slow) for name in TASKS]
LIMIT = 3  # steps of the short episodes below


@functools.cache
def make(name: str, **settings: Any) -> Any:
    return make_env(static_of(f"mabrax/{name}", **settings))


def blank(env: Any) -> Any:
    """An environment state of zeros: enough to follow an action or an observation, and nothing is compiled."""
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)


def control(env: Any, actions: Any, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """`[n, number of actuators]` what the physics is given for each of the actions `[n, N, A]`."""
    given = []
    monkeypatch.setattr(env._brax, "pipeline_step", lambda state, action: (given.append(action), state)[1])

    def physics_input(action: Any) -> Any:
        env.step(jax.random.key(0), blank(env), action)
        return given.pop()

    given_to_all = np.asarray(jax.jit(jax.vmap(physics_input))(jnp.asarray(actions, jnp.float32)))
    monkeypatch.undo()
    return given_to_all


def moved_joints(model: Any, actuation: np.ndarray) -> dict[str, float]:
    """Joint → generalised force, by MuJoCo itself, where there is any."""
    mujoco: Any = importlib.import_module("mujoco")
    data = mujoco.MjData(model)
    data.ctrl[:] = actuation
    mujoco.mj_forward(model, data)
    forces = {model.joint(j).name: data.qfrc_actuator[model.joint(j).dofadr[0]] for j in range(model.njnt)}
    assert np.count_nonzero(data.qfrc_actuator) == np.count_nonzero(list(forces.values()))
    return {name: force for name, force in forces.items() if force != 0.0}


def observation_at(env: Any, name: str) -> Any:
    """Program: `[n, nq]` positions and `[n, nv]` velocities → `[n, N, O]` what the agents see there."""

    def observe(q: Any, qd: Any) -> Any:
        state = env._brax.pipeline_init(q, qd)
        action = (jnp.zeros(env._brax.action_size),) if body_of(name) == "humanoid" else ()
        return env._observation(env._brax._get_obs(state, *action))

    return jax.jit(jax.vmap(observe))


@pytest.mark.parametrize("name", TASKS)
def test_partition(name):
    parts = partition(name)
    assert tuple(map(len, parts)) == TASKS[name]
    assert sum(parts, ()) == JOINTS[body_of(name)]
    assert len(set(JOINTS[body_of(name)])) == len(JOINTS[body_of(name)])


def test_limbs_stay_whole():
    assert partition("ant_4x2") == tuple((f"hip_{leg}", f"ankle_{leg}") for leg in (1, 2, 3, 4))
    assert [{joint[0] for joint in part} for part in partition("halfcheetah_2x3")] == [{"b"}, {"f"}]
    assert [{"left" in joint for joint in part} for part in partition("walker2d_2x3")] == [{False}, {True}]
    upper, lower = partition("humanoid_9_8")
    assert all("hip" in joint or "knee" in joint for joint in lower)
    assert not any("hip" in joint or "knee" in joint for joint in upper)


@needs_brax
@pytest.mark.parametrize("name", EVERY_TASK)
def test_every_agent_sees_the_joints_that_it_moves(name, monkeypatch):
    """Nudge each coordinate and see whose observation changes; act alone and see, in MuJoCo, which joint is driven."""
    env = make(name, observation="joints")
    spec, sys = env.spec, env._brax.sys
    model = sys.mj_model
    alone = [(agent, dimension) for agent, size in enumerate(spec.action_sizes) for dimension in range(size)]
    actions = np.zeros((len(alone), spec.num_agents, spec.action_size))
    for row, (agent, dimension) in enumerate(alone):
        actions[row, agent, dimension] = 1.0
    moved: list[list[str]] = [[] for _ in spec.agents]
    for (agent, _), actuation in zip(alone, control(env, actions, monkeypatch), strict=True):
        (joint, force), *others = moved_joints(model, actuation).items()
        assert not others
        actuator = next(i for i in range(model.nu) if model.joint(int(model.actuator_trnid[i, 0])).name == joint)
        full = model.actuator_gear[actuator, 0] * model.actuator_ctrlrange[actuator, 1]
        np.testing.assert_allclose(force, full, rtol=1e-6)  # an action of 1 is all that the actuator has
        moved[agent].append(joint)
    assert tuple(map(tuple, moved)) == env.parts

    num_positions, num_velocities = model.nq, model.nv
    base = np.concatenate([np.asarray(sys.init_q), np.zeros(num_velocities)]) + 1e-3
    nudged = base + 1e-2 * np.concatenate([np.zeros((1, len(base))), np.eye(len(base))])
    seen = np.asarray(observation_at(env, name)(nudged[:, :num_positions], nudged[:, num_positions:]))
    changed = np.abs(seen[1:] - seen[0]) > 5e-3  # [coordinate, N, O]
    np.testing.assert_allclose((seen[1:] - seen[0])[changed], 1e-2, atol=1e-4)
    hidden = 2 if body_of(name) in ("ant", "humanoid") else 1
    assert not changed[:hidden].any()
    for index in range(model.njnt):
        joint, free = model.joint(index), model.jnt_type[index] == 0
        positions = joint.qposadr[0] + np.arange(7 if free else 1)
        velocities = num_positions + joint.dofadr[0] + np.arange(6 if free else 1)
        coordinates = [c for c in (*positions, *velocities) if c >= hidden]
        for agent in range(spec.num_agents):
            sees = joint.name in moved[agent] or joint.name.startswith("root")
            assert changed[coordinates, agent].sum(-1).tolist() == [int(sees)] * len(coordinates)
    entries = changed.sum((0, 2)).tolist()  # every entry of every agent is accounted for, once
    assert entries == list(spec.observation_sizes) and (changed.sum(0) <= 1).all()


@needs_brax
@pytest.mark.parametrize("name", ["ant_4x2", "humanoid_9_8"])
def test_actions_are_clipped_and_padding_is_ignored(name, monkeypatch):
    env = make(name)
    shape = (env.spec.num_agents, env.spec.action_size)
    inside = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    inside[0, 0], inside[1, 1] = 1.0, -1.0
    outside = inside.copy()
    outside[0, 0], outside[1, 1] = 5.0, -2.0
    padded = inside.copy()
    for agent, size in enumerate(env.spec.action_sizes):
        padded[agent, size:] = np.nan
    one, two, three = control(env, [inside, outside, padded], monkeypatch)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
    limits = np.asarray(env._brax.sys.actuator.ctrl_range)
    np.testing.assert_allclose([one.min(), one.max()], [limits.min(), limits.max()], rtol=1e-6)


@needs_brax
def test_the_reward_of_brax_is_the_teams(monkeypatch):
    env = make(TASK)
    monkeypatch.setattr(env._brax, "step", lambda state, action: state.replace(reward=jnp.asarray(2.5)))
    _, timestep = env.step(jax.random.key(0), blank(env), jnp.zeros((4, 2)))
    assert env.spec.team_reward == "shared" and timestep.reward == 2.5


@needs_brax
def test_a_web_page_plays_an_episode():
    env = make(TASK)
    page = env.webpage([blank(env)] * 2)
    assert page.startswith("<!DOCTYPE html>") and "viewer.js" in page and not hasattr(env, "scene")


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


@needs_brax
def test_leaving_the_healthy_heights_terminates_and_the_time_limit_truncates():
    """Four cases in one program: low or too high, before or at the time limit; the true next state is shown."""
    env = make(TASK, episode_length=LIMIT)
    brax = env._brax

    def after_a_step(height: Any, count: Any) -> Any:
        q = brax.sys.init_q.at[2].set(height)
        physics = brax.pipeline_init(q, jnp.zeros(brax.sys.qd_size()))
        env_state = jax.tree.map(jnp.zeros_like, blank(env)).replace(physics=physics, count=count)
        env_state, timestep = env.step(jax.random.key(0), env_state, jnp.full((4, 2), 0.5))
        return env_state.count, timestep, brax._get_obs(env_state.physics)

    heights, counts = jnp.array([0.6, 0.6, 3.0, 3.0]), jnp.array([0, LIMIT - 1, 0, LIMIT - 1], jnp.int32)
    count, timestep, seen = jax.device_get(jax.jit(jax.vmap(after_a_step))(heights, counts))
    assert timestep.terminated.tolist() == [False, False, True, True]
    assert timestep.truncated.tolist() == [False, True, False, False]
    assert count.tolist() == [1, LIMIT, 1, LIMIT]
    np.testing.assert_allclose(timestep.state, standardised(seen), rtol=1e-4, atol=1e-5)
    numbered = np.concatenate([np.broadcast_to(seen[:, None], (4, 4, 27)), np.broadcast_to(np.eye(4), (4, 4, 4))], -1)
    np.testing.assert_allclose(timestep.observation, standardised(numbered), rtol=1e-4, atol=1e-5)


SCRIPT = """
import os, sys
streams = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
import jax
settings = dict(jax.config.values)
from ltro_jax.config import Config
from ltro_jax.envs import make_env, missing_extra
assert not {"brax", "mujoco"} & set(sys.modules)
for backend in (None, "mjx"):
    env = make_env(Config.from_dict({"task": "mabrax/halfcheetah_2x3", "backend": backend}).static)
    env_state, timestep = jax.eval_shape(env.reset, jax.random.key(0))
    action = jax.ShapeDtypeStruct((2, 3), "float32")
    jax.eval_shape(env.step, jax.random.key(0), env_state, action)
assert all(a is b for a, b in zip(streams, (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)))
changed = [name for name, value in jax.config.values.items() if name in settings and value != settings[name]]
assert not changed, changed
assert not os.listdir("."), os.listdir(".")
"""


@needs_brax
def test_silent(tmp_path):
    """Half-cheetah is the noisiest: of its model MuJoCo itself complains, on the terminal and in a file."""
    command = [sys.executable, "-W", "default", "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_brax(monkeypatch):
    monkeypatch.setitem(sys.modules, "brax", None)
    with pytest.raises(SettingsError) as error:
        make_env(Static(task="mabrax/ant_4x2"))
    assert str(error.value).startswith("task = 'mabrax/ant_4x2' needs the extra 'mabrax', which is not installed; ")


@pytest.mark.parametrize("option, value", [("num_agents", 4), ("continuous_actions", True)])
def test_options_without_meaning(option, value):
    with pytest.raises(SettingsError) as error:
        make_env(static_of("mabrax/ant_4x2", **{option: value}))
    assert str(error.value) == f"{option} = {value!r} has no meaning on mabrax/ant_4x2; leave it out"


@needs_brax
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["positional", "spring", "generalized", "mjx"])
def test_backends(backend):
    """Each trains for two iterations, across the ends of episodes, with finite metrics."""
    task = {"task": "mabrax/ant_4x2", "backend": backend, "episode_length": 6, "eval_episodes": 0}
    config = Config.from_dict(task | {"num_envs": 4, "rollout_length": 8, "hidden_sizes": (16,)})
    train = make_train(config)
    env: Any = train.parts.env
    assert env._brax.backend == backend
    state = jax.jit(train.init)(0, config.hypers)
    iterate = jax.jit(train.iterate)
    for _ in range(2):
        state, metrics = iterate(state, config.hypers)
        assert metrics.scalar["episodes"] >= 4
        assert all(np.isfinite(value).all() for value in metrics.scalar.values())
    assert int(state.failed_at) == -1
