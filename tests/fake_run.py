"""Run directories without training: metrics that are made up, written as a run writes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.config import Config
from ltro_jax.storage import MetricStore, RunDirectory, Stretch, record_stretch

AGENTS = ("ann", "bob")


def made_up(config: Config, iterations: int, level: float, failed: Mapping[int, int] | None = None) -> xr.Dataset:
    """Metrics of so many iterations, evaluated at every second one: returns climb to about `level`.

    `failed` is seed → iteration from which on it is frozen.
    """
    count = np.arange(1, iterations + 1)
    seeds = np.array([member.seed for member in config.members])
    noise = np.random.default_rng(int(1000 * level)).normal(0.0, 0.1, (len(seeds), iterations, 2))
    climb = level * count / iterations + noise[..., 0]
    order = np.stack([count % 2, 1 - count % 2], -1)[None].repeat(len(seeds), 0)
    bad = count >= np.array([(failed or {}).get(seed, iterations + 1) for seed in seeds.tolist()])[:, None]
    of_member, of_position, of_agent = (("member", "iteration", *rest) for rest in ((), ("position",), ("agent",)))
    floats: dict[str, Any] = {
        "episode_return": (of_member, climb),
        "eval_return_greedy": (of_member, np.where(count % 2 == 0, climb, np.nan)),
        "adv_variance_raw": (of_position, 1.0 + np.abs(noise)),
        "adv_variance_used": (of_position, 1.0 - np.abs(noise)),
        "kl": (of_position, np.stack([order[..., 0] + 0.25] * 2, -1) * (1.0, 2.0)),
        "entropy": (of_agent, 2.0 + noise),
        "policy_loss": (of_agent, noise),
    }
    points = {name: ("member", [getattr(m.hypers, name) for m in config.members]) for name, _ in config.run.grid}
    dataset = xr.Dataset(
        floats,
        {
            **points,
            "iteration": count,
            "env_steps": ("iteration", count * config.static.steps_per_iteration),
            "seed": ("member", seeds),
            "agent": list(AGENTS),
            "position": [0, 1],
        },
        {"task": config.static.task, "algorithm": config.static.algorithm, "team_reward": "shared"},
    ).astype(np.float32)
    dataset = dataset.where(~xr.DataArray(bad, dims=of_member)).transpose("member", "iteration", ...)
    dataset["finite"] = (of_member, ~bad)
    dataset["agent_order"] = (of_position, order.astype(np.int32))
    return dataset


def write_run(
    path: Path,
    config: Config,
    *,
    iterations: int | None = None,
    level: float = 1.0,
    failed: Mapping[int, int] | None = None,
    without: tuple[str, ...] = (),
    command: str | None = "ltro train <made up>",
) -> Path:
    """A run directory with made-up metrics; `iterations` of 0 stores none, None all."""
    directory = RunDirectory.create(path, config.to_dict(), command)
    iterations = config.num_iterations if iterations is None else iterations
    if iterations:
        MetricStore(directory.metrics).append(made_up(config, iterations, level, failed).drop_vars(list(without)))
        record_stretch(directory, Stretch(1, iterations, 2.0 * iterations, "1 × cpu"))
    return path
