"""One number for each member of a run."""

import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import Array, final_score
from ltro_jax.runs.load import default_metric
from ltro_jax.runs.metric_names import ROWS, unknown_metric

LAST_SHARE = 5  # the score is the mean over the last fifth of what was recorded


def scored_metric(metrics: xr.Dataset, metric: str | None = None) -> str:
    """`metric` if given, else `eval_return_greedy` where there are evaluations, else `episode_return`.

    Raises:
        SettingsError: it is not a metric of one value for each member and iteration.
    """
    chosen = metric or default_metric([str(name) for name in metrics])
    if chosen not in metrics or metrics[chosen].dims != ROWS:
        raise unknown_metric(chosen, [str(n) for n in metrics.data_vars if metrics[n].dims == ROWS])
    return chosen


def member_scores(metrics: xr.Dataset, metric: str | None = None) -> Array:
    """`end_scores` of a run, `[S]`; `metric` as in `scored_metric`."""
    return end_scores(metrics[scored_metric(metrics, metric)].values)


def end_scores(values: Array) -> Array:
    """Mean of each member over the last fifth of what was recorded, `[S, E]` → `[S]`; NaN where it lacks any of it."""
    recorded = int((~np.isnan(values).all(0)).sum())
    return final_score(values, last=max(1, recorded // LAST_SHARE)) if recorded else np.full(len(values), np.nan)


def frozen_at(metrics: xr.Dataset) -> list[int]:
    """Iteration at which each member was frozen, -1 = never."""
    finite, iterations = metrics["finite"].values, metrics["iteration"].values
    return [-1 if row.all() else int(iterations[np.argmin(row)]) for row in finite]
