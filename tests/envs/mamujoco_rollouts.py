"""Replays of the rollouts that `record_mamujoco.py` recorded from gymnasium, by either engine."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.envs.mamujoco_rewards import is_healthy, team_reward, whole_state


class Replay(NamedTuple):
    """T steps of one environment."""

    qpos: np.ndarray  # [T, nq], in the engine's precision
    qvel: np.ndarray  # [T, nv]
    reward: np.ndarray  # [T]
    terminated: np.ndarray  # [T] bool
    observation: np.ndarray  # [T, state_size]


def start_of(engine: Any, recorded: Mapping[str, np.ndarray]) -> tuple[Any, float]:
    """The recorded initial state as `MjData`, and the x of what the reward follows."""
    mujoco: Any = importlib.import_module("mujoco")
    model, data = engine.model, mujoco.MjData(engine.model)
    mujoco.mj_setState(model, data, recorded["initial"], mujoco.mjtState.mjSTATE_INTEGRATION.value)
    mujoco.mj_forward(model, data)
    x = {
        "coordinate": data.qpos[0],
        "torso": data.body("torso").xpos[0],
        "mass": np.average(data.xipos[:, 0], weights=model.body_mass),
    }
    return data, float(x[engine.body.follows])


def replay(engine: Any, physics: Any, controls: np.ndarray, numbers: Any) -> Replay:
    """Step the engine under the recorded controls; `numbers` gives (qpos, qvel) of its state."""
    body, model = engine.body, engine.model

    def step(physics: Any, control: Any) -> Any:
        physics, readings = engine.advance(physics, control)
        reward = team_reward(body, readings.progress, control, model.opt.timestep * body.frame_skip)
        outcome = reward, ~is_healthy(body, readings.qpos, readings.qvel), whole_state(body, readings, model.nbody)
        return physics, (physics, *outcome)

    program = jax.jit(lambda physics, controls: jax.lax.scan(step, physics, controls)[1])
    states, *outcome = jax.device_get(program(physics, jnp.asarray(controls)))
    return Replay(*numbers(states), *outcome)


def drift(ours: np.ndarray, recorded: np.ndarray) -> float:
    """Largest difference, relative to the largest number of the recorded array."""
    return float(np.abs(ours - recorded).max() / np.abs(recorded).max())
