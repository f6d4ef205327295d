"""From the program's metrics to a labelled dataset."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.config import Config
from ltro_jax.envs import EnvSpec
from ltro_jax.training.iteration import OF_EPISODES
from ltro_jax.types import Metrics


def metrics_dataset(
    metrics: Metrics, evaluation: Mapping[str, Any], first: int, count: int, config: Config, spec: EnvSpec
) -> xr.Dataset:
    """The rows of one device call.

    Args:
        metrics: leaves `[S, ≥ count, …]`; rows from `count` on are not read.
        evaluation: leaves `[S]`, made after the last of these iterations; NaN at the others.
        first: number of the first iteration, counted from 1.
    Returns:
        Dimensions `member`, `iteration`, and `agent` or `position` where that applies; the grid's hyper-parameters are
        coordinates along `member`, as the seeds are. Figures are NaN from the iteration on at which a member was
        frozen, and those of episodes where none ended.
    """
    iteration = np.arange(first, first + count)

    finite = np.asarray(metrics.scalar["finite"])[:, :count]

    def rows(leaf: Any) -> np.ndarray:
        """The rows; figures of a frozen member are NaN, so that nobody takes it for a healthy one."""
        values = np.asarray(leaf)[:, :count]
        if values.dtype != np.float32:
            return values
        return np.where(finite.reshape(*finite.shape, *[1] * (values.ndim - 2)), values, np.float32(np.nan))

    def at_the_end(value: Any) -> np.ndarray:
        column = np.full((len(config.members), count), np.nan, np.float32)
        column[:, -1] = np.where(finite[:, -1], np.asarray(value), np.nan)
        return column

    member_rows = ("member", "iteration")
    variables = {name: (member_rows, rows(leaf)) for name, leaf in metrics.scalar.items()}
    ended = np.asarray(metrics.scalar["episodes"])[:, :count] > 0
    for name in variables.keys() & set(OF_EPISODES):
        variables[name] = (member_rows, np.where(ended, variables[name][1], np.float32(np.nan)))
    variables |= {name: ((*member_rows, "position"), rows(leaf)) for name, leaf in metrics.position.items()}
    variables |= {name: ((*member_rows, "agent"), rows(leaf)) for name, leaf in metrics.agent.items()}
    variables |= {name: (member_rows, at_the_end(value)) for name, value in evaluation.items()}
    points = {
        name: ("member", np.asarray([getattr(member.hypers, name) for member in config.members]))
        for name, _ in config.run.grid
    }
    coordinates = {
        **points,
        "iteration": iteration,
        "env_steps": ("iteration", iteration * config.static.steps_per_iteration),
        "seed": ("member", np.asarray([member.seed for member in config.members])),
        "agent": list(spec.agents),
        "position": np.arange(spec.num_agents),
    }
    attributes = {
        "task": config.static.task,
        "algorithm": config.static.algorithm,
        "team_reward": spec.team_reward,
    }
    return xr.Dataset(variables, coordinates, attributes)
