"""From the program's metrics to a labelled dataset."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ltro_jax.config import Config
from ltro_jax.envs import EnvSpec
from ltro_jax.training.iteration import OF_EPISODES
from ltro_jax.types import Metrics

PER_MEMBER = ("member", "iteration")  # dimensions of a metric with one value for each member


def metrics_dataset(
    metrics: Metrics, evaluation: Mapping[str, ArrayLike], first: int, count: int, config: Config, spec: EnvSpec
) -> xr.Dataset:
    """The rows of one device call.

    Args:
        metrics: leaves `[S, ≥ count, …]`; rows from `count` on are ignored.
        evaluation: leaves `[S]`, from the evaluation after the last of these iterations; the others get NaN.
        first: number of the first iteration, counted from 1.
    Returns:
        A dataset with dimensions `member`, `iteration`, and `agent` or `position` if they apply. The seeds and the
        hyper-parameters of the grid are coordinates along `member`. Floating-point metrics are NaN from the iteration
        at which a member was frozen; metrics of episodes are NaN if no episode ended.
    """
    scalar = {name: np.asarray(leaf)[:, :count] for name, leaf in metrics.scalar.items()}
    finite, ended = scalar["finite"], scalar["episodes"] > 0
    scalar = {name: _without_frozen(values, finite) for name, values in scalar.items()}
    for name in scalar.keys() & set(OF_EPISODES):
        scalar[name] = np.where(ended, scalar[name], np.float32(np.nan))
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]]
    variables = {name: (PER_MEMBER, values) for name, values in scalar.items()}
    for axis, leaves in (("position", metrics.position), ("agent", metrics.agent)):
        for name, leaf in leaves.items():
            variables[name] = ((*PER_MEMBER, axis), _without_frozen(np.asarray(leaf)[:, :count], finite))
    for name, value in evaluation.items():
        column = np.full(finite.shape, np.nan, np.float32)
        column[:, -1] = np.where(finite[:, -1], np.asarray(value), np.nan)
        variables[name] = (PER_MEMBER, column)
    attributes = {
        "task": config.static.task,
        "algorithm": config.static.algorithm,
        "team_reward": spec.team_reward,
    }
    return xr.Dataset(variables, _coordinates(first, count, config, spec), attributes)


def _without_frozen(values: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Values `[S, count, …]` with NaN where a member was frozen, so that it does not look healthy; float32 only."""
    if values.dtype != np.float32:
        return values
    return np.where(finite.reshape(*finite.shape, *[1] * (values.ndim - 2)), values, np.float32(np.nan))


def _coordinates(first: int, count: int, config: Config, spec: EnvSpec) -> dict[str, object]:
    """Coordinates of `count` rows from iteration `first` on."""
    iteration = np.arange(first, first + count)
    points = {
        name: ("member", np.asarray([getattr(member.hypers, name) for member in config.members]))
        for name, _ in config.run.grid
    }
    return {
        **points,
        "iteration": iteration,
        "env_steps": ("iteration", iteration * config.static.steps_per_iteration),
        "seed": ("member", np.asarray([member.seed for member in config.members])),
        "agent": list(spec.agents),
        "position": np.arange(spec.num_agents),
    }
