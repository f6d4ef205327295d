"""One number for each member of a run."""

import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import final_score
from ltro_jax.config import SettingsError

LAST_SHARE = 5  # the score is the mean over the last fifth of what was recorded


def scored_metric(metrics: xr.Dataset, metric: str | None = None) -> str:
    """`metric` if given, else `eval_return_greedy` where there are evaluations, else `episode_return`.

    Raises:
        SettingsError: it is not a metric of one value for each member and iteration.
    """
    chosen = metric or ("eval_return_greedy" if "eval_return_greedy" in metrics else "episode_return")
    if chosen not in metrics or metrics[chosen].dims != ("member", "iteration"):
        known = ", ".join(str(n) for n in metrics.data_vars if metrics[n].dims == ("member", "iteration"))
        raise SettingsError(f"metric = {chosen!r} is not one of {known}")
    return chosen


def member_scores(metrics: xr.Dataset, metric: str | None = None) -> np.ndarray:
    """Mean over the last fifth of the values recorded, `[S]` float64; NaN of a frozen member.

    Args:
        metric: as in `scored_metric`.
    """
    values = metrics[scored_metric(metrics, metric)].values
    recorded = int((~np.isnan(values).all(0)).sum())
    if not recorded:
        return np.full(len(values), np.nan)
    return final_score(values, last=max(1, recorded // LAST_SHARE))
