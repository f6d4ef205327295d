"""What an evaluation says: every member, and each point of the grid over its seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import iqm, iqm_interval
from ltro_jax.runs.load import Run, point_label


def counted_members(result: xr.Dataset) -> np.ndarray:
    """`[S]` bool, members whose figures count: those not frozen, and of best actors those that have any."""
    return result["best_iteration"].values > 0 if "best_iteration" in result else result["frozen_at"].values < 0


def evaluation_summary(run: Run, result: xr.Dataset) -> list[dict[str, Any]]:
    """Of each point of the grid (one without a grid) the interquartile mean over seeds with its bootstrap interval.

    Args:
        result: as from `run.evaluate`.
    Returns:
        For each point: `point` in words, the number of `members` that count, and for every figure `{"iqm", "low",
        "high"}`: 95 % interval, None with fewer than two members.
    """
    seeds, counted = len(run.config.run.seeds), counted_members(result)
    rows = []
    for index, point in enumerate(run.config.points):
        members = np.flatnonzero(counted[index * seeds : (index + 1) * seeds]) + index * seeds
        figures = {str(n): _estimate(v.values[members]) for n, v in result.items() if str(n).startswith("eval_")}
        rows.append({"point": point_label(point), "members": len(members), **figures})
    return rows


def evaluation_report(run: Run, result: xr.Dataset, summary: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All of it for JSON: a list over members for each figure, the summary, the settings and where it comes from."""
    columns = {str(name): variable.values.tolist() for name, variable in result.variables.items()}
    static = run.config.static
    about = {"run": str(run.path), "task": static.task, "algorithm": static.algorithm}
    return about | dict(result.attrs) | columns | {"summary": list(summary), "settings": run.config.to_dict()}


def _estimate(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return {"iqm": None, "low": None, "high": None}
    if len(values) == 1:
        return {"iqm": float(iqm(values)), "low": None, "high": None}
    return dict(zip(("iqm", "low", "high"), map(float, iqm_interval(values)), strict=True))
