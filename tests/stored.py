"""A run directory written straight through the storage: settings and metrics of our own making, nothing trained."""

from pathlib import Path

import numpy as np
import xarray as xr

from ltro_jax import Config
from ltro_jax.envs import make_env
from ltro_jax.runs.dataset import metrics_dataset
from ltro_jax.storage import MetricStore, RunDirectory
from ltro_jax.types import Metrics


def made_up(config: Config, first: int, count: int, seed: int = 0, frozen: int | None = None) -> xr.Dataset:
    """Rows of `count` iterations with an evaluation after the last; member `frozen` has failed before them."""
    numbers, spec, members = np.random.default_rng([seed, first]), make_env(config.static).spec, len(config.members)

    def draw(*shape: int) -> np.ndarray:
        return numbers.normal(size=(members, count, *shape)).astype(np.float32)

    finite = np.ones((members, count), bool)
    if frozen is not None:
        finite[frozen] = False
    metrics = Metrics(
        scalar={"episode_return": draw(), "episodes": numbers.integers(1, 9, size=(members, count)), "finite": finite},  # type: ignore[dict-item]
        position={"adv_variance_used": draw(spec.num_agents)},  # type: ignore[dict-item]
        agent={"entropy": draw(spec.num_agents)},  # type: ignore[dict-item]
    )
    evaluation = {f"eval_return_{kind}": draw()[:, 0] for kind in ("greedy", "sampled")}
    return metrics_dataset(metrics, evaluation, first, count, config, spec)


def stored_run(path: Path, config: Config, *chunks: xr.Dataset) -> RunDirectory:
    """A run that has these rows; without a checkpoint it is not finished."""
    directory = RunDirectory.create(path, config.to_dict())
    for rows in chunks:
        MetricStore(directory.metrics).append(rows)
    return directory
