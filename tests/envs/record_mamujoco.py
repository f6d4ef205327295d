"""Rollouts of gymnasium's version 4 environments, to compare ours with: `python tests/envs/record_mamujoco.py`.

Writes `golden/mamujoco_<body>.npz`: `initial`, MuJoCo's integration state after the reset; `control` `[50, nu]`
float32, some beyond the actuators' range; after each step `qpos`, `qvel` float64, `reward`, `terminated`; and
`observation` float32 after the reset and after every tenth step.
"""

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
NUM_STEPS, OBSERVED_EVERY, SEED = 50, 10, 7
CLASSES = {
    "ant": ("ant_v4", "AntEnv"),
    "halfcheetah": ("half_cheetah_v4", "HalfCheetahEnv"),
    "walker2d": ("walker2d_v4", "Walker2dEnv"),
    "hopper": ("hopper_v4", "HopperEnv"),
    "humanoid": ("humanoid_v4", "HumanoidEnv"),
    "swimmer": ("swimmer_v4", "SwimmerEnv"),
}


def record(body: str) -> dict[str, np.ndarray]:
    """One rollout of gymnasium under random controls; it continues after a fall."""
    mujoco: Any = importlib.import_module("mujoco")
    module, name = CLASSES[body]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = getattr(importlib.import_module(f"gymnasium.envs.mujoco.{module}"), name)()
        observations = [env.reset(seed=SEED)[0]]
        spec = mujoco.mjtState.mjSTATE_INTEGRATION.value
        initial = np.zeros(mujoco.mj_stateSize(env.model, spec))
        mujoco.mj_getState(env.model, env.data, initial, spec)
        largest = env.model.actuator_ctrlrange[:, 1]
        noise = np.random.default_rng(SEED).uniform(-1.2, 1.2, (NUM_STEPS, env.model.nu))
        control = (noise * largest).astype(np.float32)
        rows: dict[str, list[Any]] = {"qpos": [], "qvel": [], "reward": [], "terminated": []}
        for step in range(NUM_STEPS):
            observation, reward, terminated, _, _ = env.step(control[step])
            after = env.data.qpos.copy(), env.data.qvel.copy(), reward, terminated
            for column, value in zip(rows.values(), after, strict=True):
                column.append(value)
            if (step + 1) % OBSERVED_EVERY == 0:
                observations.append(observation)
    seen = np.array(observations, np.float32)
    return {"initial": initial, "control": control, "observation": seen} | {k: np.array(v) for k, v in rows.items()}


if __name__ == "__main__":
    for wanted in sys.argv[1:] or CLASSES:
        np.savez_compressed(GOLDEN / f"mamujoco_{wanted}.npz", **record(wanted))  # pyright: ignore[reportArgumentType]
