"""What an evaluation says: every member, and each point of the grid over its seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import iqm, iqm_interval
from ltro_jax.runs.load import Run, point_label
from ltro_jax.storage import RunError, list_checkpoints

KEPT, KEPT_BEST = "evaluation.json", "evaluation_best.json"  # of `ltro eval` and `ltro eval --best`, in the run
TIMES = 10  # so many times `eval_episodes` are the absolute metric of Gorsane et al. 2022


def absolute_metrics(
    run: Run, kinds: Sequence[str], iteration: int | None = None, members: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """What the best actors do in episodes that did not choose them, ten times `eval_episodes` of each kind.

    The evaluation they were chosen by says more than is true: it is the highest of many. What `ltro eval --best` has
    kept is taken where it is of the same checkpoint and of enough episodes; else they are evaluated now.

    Args:
        kinds, iteration, members: as in `run.evaluate`.
    Returns:
        The figures of `run.evaluate`, `[S]`; NaN of a member without best actors.
    Raises:
        As `run.evaluate`.
    """
    run.best_of(run.template())  # else there is nothing to evaluate
    episodes = TIMES * run.config.static.eval_episodes
    at = iteration if iteration is not None else max(list_checkpoints(run.directory.checkpoints), default=None)
    kept = _kept_best(run, kinds, at, episodes)
    if kept is not None:
        chosen = slice(None) if members is None else np.array(members)
        return {name: values[chosen] for name, values in kept.items()}
    result = run.evaluate(episodes, best=True, kinds=kinds, members=members, iteration=iteration)
    return {str(name): values.values for name, values in result.items() if str(name).startswith("eval_")}


def _kept_best(run: Run, kinds: Sequence[str], iteration: int | None, episodes: int) -> dict[str, np.ndarray] | None:
    """The figures of `evaluation_best.json` where it answers this question."""
    try:
        kept = run.directory.read_json(KEPT_BEST)
        same = kept["actors"] == "best" and kept["iteration"] == iteration and kept["episodes"] >= episodes
        if not same or kept["seed"] != [member.seed for member in run.config.members]:
            return None
        figures = {name: np.array(values, float) for name, values in kept.items() if name.startswith("eval_")}
        figures = {name: values for name, values in figures.items() if name.endswith(tuple(kinds))}
    except (RunError, KeyError, TypeError, ValueError):
        return None
    complete = all(f"eval_return_{kind}" in figures for kind in kinds)
    return figures if complete and all(v.shape == (len(kept["seed"]),) for v in figures.values()) else None


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
