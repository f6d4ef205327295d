"""Multi-agent MuJoCo on MJX: against rollouts of gymnasium, that is, of the C engine."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.config import SettingsError

for module in ("mujoco", "mujoco.mjx", "gymnasium"):
    if importlib.util.find_spec(module) is None:
        pytest.skip("needs the extra mamujoco", allow_module_level=True)
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from mamujoco_rollouts import Replay, drift, replay, start_of  # noqa: E402
from record_mamujoco import OBSERVED_EVERY  # noqa: E402

from ltro_jax.config.families import MaMuJoCoOptions  # noqa: E402
from ltro_jax.envs.mamujoco import MaMuJoCo  # noqa: E402
from ltro_jax.envs.mamujoco_mjx import MjxEngine, MjxState, rotated  # noqa: E402

# Of positions over 50 steps, in float64. The humanoid's recorded rollout has the PGS solver, ours Newton's.
TOLERANCES = {"hopper": 1e-12, "walker2d": 1e-12, "swimmer": 1e-12, "halfcheetah": 1e-6, "ant": 1e-6, "humanoid": 1e-5}


def replay_in_mjx(body: str, dtype: Any, num_steps: int) -> tuple[Any, Replay, Any]:
    recorded = np.load(HERE / "golden" / f"mamujoco_{body}.npz")
    engine = MjxEngine(body)
    data, x = start_of(engine, recorded)
    numbers = (jnp.asarray(value, dtype) for value in (data.qpos, data.qvel, data.qacc_warmstart, x))
    controls = recorded["control"][:num_steps].astype(dtype)
    ours = replay(engine, MjxState(*numbers), controls, lambda states: (states.qpos, states.qvel))
    return engine, ours, recorded


@pytest.fixture(autouse=True)
def promoting_ranks() -> Iterator[None]:
    """MJX promotes ranks."""
    with jax.numpy_rank_promotion("allow"):
        yield


def test_float32_follows_the_c_engine():
    """The swimmer, which compiles fastest; 50 steps of 4 Runge-Kutta steps."""
    _, ours, recorded = replay_in_mjx("swimmer", np.float32, 50)
    assert ours.qpos.dtype == np.float32
    assert drift(ours.qpos, recorded["qpos"]) < 1e-5 and drift(ours.qvel, recorded["qvel"]) < 1e-5
    np.testing.assert_allclose(ours.reward, recorded["reward"], atol=1e-5)
    np.testing.assert_allclose(
        ours.observation[OBSERVED_EVERY - 1 :: OBSERVED_EVERY], recorded["observation"][1:], atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("body", TOLERANCES)
def test_float64_equals_the_c_engine(body):
    with jax.enable_x64(True):
        engine, ours, recorded = replay_in_mjx(body, np.float64, 50)
    assert ours.qpos.dtype == np.float64 and drift(ours.qpos, recorded["qpos"]) < TOLERANCES[body]
    np.testing.assert_allclose(ours.reward, recorded["reward"], atol=1e-6 if body != "humanoid" else 1e-5)
    np.testing.assert_array_equal(ours.terminated, recorded["terminated"])
    forces = 6 * engine.model.nbody * engine.body.contact_forces
    seen = ours.observation[OBSERVED_EVERY - 1 :: OBSERVED_EVERY]
    wanted = recorded["observation"][1:, : seen.shape[1] - forces]
    np.testing.assert_allclose(
        seen[:, : seen.shape[1] - forces], wanted, rtol=1e-4, atol=1e-5 if body != "humanoid" else 1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("body, positions", [("hopper", 1e-5), ("walker2d", 1e-4), ("ant", 1e-2)])
def test_float32_drift(body, positions):
    _, ours, recorded = replay_in_mjx(body, np.float32, 50)
    assert drift(ours.qpos, recorded["qpos"]) < positions
    np.testing.assert_array_equal(ours.terminated, recorded["terminated"])


def test_both_engines_start_alike():
    key = jax.random.key(0)
    started = {}
    for backend in ("mujoco", "mjx"):
        env = MaMuJoCo("halfcheetah_2x3", MaMuJoCoOptions(backend=backend))
        started[backend] = jax.jit(env.reset)(key)[1]
    np.testing.assert_allclose(started["mjx"].observation, started["mujoco"].observation, rtol=1e-6)


def test_rotated():
    """A quarter turn about z, then a quarter turn about the turned x axis."""
    quarter = np.pi / 2
    once = rotated(jnp.array([1.0, 0, 0, 0]), jnp.array([0, 0, quarter]))
    np.testing.assert_allclose(once, [np.sqrt(0.5), 0, 0, np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_allclose(rotated(once, jnp.array([quarter, 0, 0])), [0.5, 0.5, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(rotated(2 * once, jnp.zeros(3)), once, atol=1e-6)


def test_a_model_that_mjx_cannot_run(monkeypatch):
    import mujoco.mjx

    def refuse(model):
        raise NotImplementedError("no such geometry")

    monkeypatch.setattr(mujoco.mjx, "put_model", refuse)
    with pytest.raises(SettingsError, match="cannot run hopper: no such geometry; use backend = 'mujoco' on a CPU"):
        MjxEngine("hopper")
