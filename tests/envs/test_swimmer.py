"""The many-agent swimmer: its rules by hand, and its physics against MuJoCo."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits
from tasks import static_of

from ltro_jax.config import SettingsError, Static
from ltro_jax.config.families import SwimmerOptions
from ltro_jax.envs import make_env, step_and_reset, swimmer_model, swimmer_physics
from ltro_jax.envs.base import standardise_vector
from ltro_jax.envs.swimmer import Swimmer

GOLDEN = Path(__file__).parent / "golden" / "swimmer.npz"  # recorded from MuJoCo 4.0.0 in float64
# Rounding in float32 against MuJoCo's float64, over 20 environment steps with hinges at their limits.
POSITION_TOLERANCE, VELOCITY_TOLERANCE = 1e-5, 1e-4


def swimmer(name: str = "2x2", backend: str = "built_in", episode_length: int = 1000) -> Swimmer:
    """Also of sizes that no task has: a small one compiles in a moment."""
    return Swimmer(name, SwimmerOptions(backend), episode_length)


def start(env: Swimmer, seed: int = 0):
    return jax.jit(env.reset)(jax.random.key(seed))


def random_actions(env: Swimmer, num_steps: int, seed: int = 1) -> jax.Array:
    shape = (num_steps, env.spec.num_agents, env.spec.action_size)
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1.0, maxval=1.0)


@pytest.mark.parametrize("task, agents, hinges", [("swimmer/10x2", 10, 2), ("swimmer/20x1", 20, 1)])
def test_sizes(task, agents, hinges):
    spec = make_env(Static(task=task)).spec
    assert spec.num_agents == agents and spec.action_sizes == (hinges,) * agents and not spec.discrete
    assert spec.state_size == 1 + 20 + 3 + 20 and spec.observation_size == spec.state_size + agents
    assert spec.episode_length == 1000 and make_env(Static(task=task, episode_length=7)).spec.episode_length == 7


def test_the_start_is_nearly_straight_and_at_rest():
    env = swimmer("20x1")
    states, first = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 200))
    for values in (states.qpos, states.qvel):
        assert np.abs(values).max() <= 0.1 and values.min() < -0.09 and values.max() > 0.09
        np.testing.assert_allclose(values.std(), 0.1 / np.sqrt(3), rtol=0.05)
    assert abs(np.corrcoef(states.qpos.ravel(), states.qvel.ravel())[0, 1]) < 0.05
    assert not states.count.any() and not first.reward.any() and not first.done.any()
    assert_same_bits(start(env, 3), start(env, 3))
    assert (start(env, 3)[0].qpos != start(env, 4)[0].qpos).all()


def test_agents_see_the_whole_standardised():
    env = swimmer()
    env_state, timestep = start(env)
    whole = np.concatenate([env_state.qpos[2:], env_state.qvel])
    np.testing.assert_allclose(timestep.state, (whole - whole.mean()) / whole.std(), rtol=1e-4, atol=1e-5)
    for agent, one_hot in enumerate(np.eye(2)):
        vector = np.concatenate([whole, one_hot])
        expected = (vector - vector.mean()) / vector.std()
        np.testing.assert_allclose(timestep.observation[agent], expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(standardise_vector(jnp.full(5, 3.0))).all()


def test_an_episode():
    """Reward from the positions, the true next state, truncation at the limit and no termination."""
    env = swimmer(episode_length=5)
    step = jax.jit(env.step)
    env_state, _ = start(env)
    for count, action in enumerate(2.0 * random_actions(env, 6), start=1):
        before = env_state
        env_state, timestep = step(jax.random.key(0), before, action)
        control = np.clip(np.asarray(action), -1.0, 1.0)
        speed = (float(env_state.qpos[0]) - float(before.qpos[0])) / 0.02
        np.testing.assert_allclose(timestep.reward, speed - 1e-4 * np.square(control).sum(), rtol=1e-3, atol=1e-5)
        assert int(env_state.count) == count
        assert bool(timestep.truncated) is (count >= 5) and not timestep.terminated
        whole = jnp.concatenate([env_state.qpos[2:], env_state.qvel])
        np.testing.assert_allclose(timestep.state, standardise_vector(whole), rtol=1e-4, atol=1e-5)
        assert (env_state.qpos != before.qpos).all()


def test_a_new_episode_follows_and_the_true_outcome_is_kept():
    env = swimmer(episode_length=1)
    env_state, _ = start(env)
    action = random_actions(env, 1)[0]
    step_key, reset_key = jax.random.key(1), jax.random.key(2)
    one = jax.tree.map(lambda leaf: leaf[None], (step_key, reset_key, env_state, action))
    advance = jax.jit(lambda *inputs: step_and_reset(env, *inputs))
    resumed, timestep, outcome = jax.tree.map(lambda leaf: leaf[0], advance(*one))
    assert bool(outcome.truncated) and int(resumed.count) == 0 and not timestep.truncated
    assert (outcome.state != timestep.state).any()
    np.testing.assert_allclose(resumed.qpos, env.reset(reset_key)[0].qpos, rtol=1e-6)


def test_actions_are_clipped():
    env = swimmer()
    step, key = jax.jit(env.step), jax.random.key(0)
    env_state, _ = start(env)
    inside = jnp.array([[1.0, -1.0], [0.5, 1.0]])
    assert_same_bits(step(key, env_state, jnp.array([[7.0, -3.0], [0.5, 1.5]])), step(key, env_state, inside))


@pytest.mark.parametrize("name, agents, hinges", [("10x2", 10, 2), ("20x1", 20, 1), ("2x2", 2, 2)])
def test_an_agent_drives_its_own_hinges(name, agents, hinges, monkeypatch):
    """That a motor turns its own hinge is what the comparisons with MuJoCo show."""
    env = swimmer(name)
    monkeypatch.setattr(env, "_advance", lambda qpos, qvel, control: (qpos, qvel.at[3:].set(control)))
    env_state, _ = start(env)
    for agent in range(agents):
        action = jnp.zeros((agents, hinges)).at[agent].set(0.1 * (1 + jnp.arange(hinges)))
        driven = np.asarray(env.step(jax.random.key(0), env_state, action)[0].qvel[3:])
        assert np.flatnonzero(driven).tolist() == list(range(agent * hinges, (agent + 1) * hinges))
        np.testing.assert_array_equal(driven[driven != 0], action[agent])


def test_limits_and_fluid_in_rest_and_drift():
    """Nothing moves a swimmer at rest; drifting ahead it slows down, and a hinge beyond its limit is pushed back."""
    advance = jax.jit(swimmer_physics.make_advance(4))
    rest, none = jnp.zeros(7), jnp.zeros(4)
    assert_same_bits(advance(rest, rest, none), (rest, rest))
    _, speed = advance(rest, rest.at[0].set(1.0), none)
    assert 0.5 < speed[0] < 1.0 and not speed[1:].any()
    beyond = rest.at[4].set(swimmer_model.HINGE_LIMIT + 0.05)
    for side in (1.0, -1.0):
        _, speed = advance(side * beyond, rest, none)
        assert side * speed[4] < -0.1


def rollout(qpos: np.ndarray, qvel: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities `[T, 3 + n]` after each environment step."""
    advance = swimmer_physics.make_advance(controls.shape[1])

    def body(state, control):
        state = advance(state[0], state[1], control)
        return state, state

    inputs = (jnp.asarray(array, jnp.float32) for array in (qpos, qvel))
    return jax.jit(lambda *start: jax.lax.scan(body, start, jnp.asarray(controls, jnp.float32))[1])(*inputs)


@pytest.mark.parametrize("hinges", [4, 20])
def test_recorded_trajectories_of_mujoco(hinges):
    """Without MuJoCo at hand; half of the hinges start beyond their limits."""
    golden = np.load(GOLDEN)
    qpos, qvel, controls, expected_qpos, expected_qvel = (
        golden[f"{name}_{hinges}"] for name in ("qpos", "qvel", "controls", "after_qpos", "after_qvel")
    )
    after_qpos, after_qvel = rollout(qpos, qvel, controls)
    np.testing.assert_allclose(after_qpos, expected_qpos, rtol=0, atol=POSITION_TOLERANCE)
    np.testing.assert_allclose(after_qvel, expected_qvel, rtol=0, atol=VELOCITY_TOLERANCE)


@pytest.mark.parametrize("hinges", [4, 20])
@pytest.mark.parametrize("bent", [False, True], ids=["straight", "bent"])
def test_mujoco_moves_the_same_way(hinges, bent):
    """Bent: every other hinge starts beyond its limit."""
    mujoco = pytest.importorskip("mujoco")
    compiled = mujoco.MjModel.from_xml_string(swimmer_model.mjcf(hinges))
    compiled.opt.tolerance = 1e-12
    rng = np.random.default_rng(5)
    qpos, qvel = rng.uniform(-0.1, 0.1, 3 + hinges), rng.uniform(-0.1, 0.1, 3 + hinges)
    if bent:
        qpos[3::2] = rng.choice([-1.0, 1.0], hinges // 2) * rng.uniform(1.75, 1.85, hinges // 2)
    controls = rng.uniform(-1.0, 1.0, (20, hinges))
    data = mujoco.MjData(compiled)
    data.qpos[:], data.qvel[:] = qpos, qvel
    expected, at_limit = [], 0
    for control in controls:
        data.ctrl[:] = control
        for _ in range(swimmer_model.FRAME_SKIP):
            mujoco.mj_step(compiled, data)
            at_limit = max(at_limit, data.nefc)
        expected.append((data.qpos.copy(), data.qvel.copy()))
    assert at_limit >= hinges // 2 * bent
    after_qpos, after_qvel = rollout(qpos, qvel, controls)
    np.testing.assert_allclose(after_qpos, [qpos for qpos, _ in expected], rtol=0, atol=POSITION_TOLERANCE)
    np.testing.assert_allclose(after_qvel, [qvel for _, qvel in expected], rtol=0, atol=VELOCITY_TOLERANCE)
    np.testing.assert_allclose(
        swimmer_physics.make_geometry(hinges).limit_weight, compiled.dof_invweight0[3:], rtol=1e-5
    )


@pytest.mark.slow  # MJX compiles for half a minute and more
def test_mjx_moves_the_same_way():
    pytest.importorskip("mujoco.mjx")
    ours, theirs = swimmer(), swimmer(backend="mjx")
    one, _ = start(ours)
    other, _ = start(theirs)
    assert_same_bits(one, other)
    step, mjx_step = jax.jit(ours.step), jax.jit(theirs.step)
    for action in random_actions(ours, 10):
        one, timestep = step(jax.random.key(0), one, action)
        other, mjx_timestep = mjx_step(jax.random.key(0), other, action)
    np.testing.assert_allclose(other.qpos, one.qpos, rtol=0, atol=1e-4)
    np.testing.assert_allclose(other.qvel, one.qvel, rtol=0, atol=1e-3)
    np.testing.assert_allclose(mjx_timestep.reward, timestep.reward, rtol=0, atol=1e-3)


def test_mjx_is_made_in_silence():
    pytest.importorskip("mujoco.mjx")
    program = (
        "from ltro_jax.config import Config; from ltro_jax.envs import make_env;"
        "make_env(Config.from_dict({'task': 'swimmer/20x1', 'backend': 'mjx'}).static)"
    )
    command = [sys.executable, "-W", "default", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_mjx_that_is_missing_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    make_env(Static(task="swimmer/10x2"))
    with pytest.raises(SettingsError) as error:
        make_env(static_of("swimmer/10x2", backend="mjx"))
    sentence = "task = 'swimmer/10x2' with backend = 'mjx' needs the extra 'mujoco', which is not installed; "
    assert str(error.value).startswith(sentence)


def test_other_physics_is_refused():
    with pytest.raises(SettingsError) as error:
        static_of("swimmer/10x2", backend="spring")
    assert str(error.value) == "backend = 'spring' is not one of built_in, mjx"


def test_what_there_is_to_draw():
    """The ends of the links, in the pose by hand: the torso along y, then one hinge after another by a right angle."""
    env = swimmer("2x1")
    env_state, _ = start(env)
    turn = np.pi / 2
    posed = env_state.replace(qpos=jnp.array([3.0, 5.0, turn, turn, turn]))  # the hinges turn about −z, then +z
    scene = env.scene(posed)
    np.testing.assert_allclose(scene.joint, [[3, 6.5], [3, 5.5], [2, 5.5], [2, 4.5]], atol=1e-5)
    assert scene.agent.tolist() == [0, 1]
