"""What the exact studies of random games say, as rows of tables; a game is to them what a seed is to a training run.

Intervals are interquartile means over games with 95 % bootstrap intervals.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ltro_jax.analysis.statistics import Interval, iqm_interval
from ltro_jax.laboratories.games.rates import power_law_slopes
from ltro_jax.laboratories.variance.tables import growth_rate

GAP_FLOOR = 1e-9  # below it a gap counts as zero: rewards are in [−1, 1], the solves are good to about 1e-12
GAP_REACHED = 1e-3  # a gap that a run is said to have closed
MOMENTS = ("variance", "second_moment", "bound", "factor_second_moment")

Rows = list[dict[str, Any]]


def variance_rows(study: xr.Dataset) -> Rows:
    """A row for each step size, clamp, number of agents and position.

    Args:
        study: `MOMENTS` of dims (kl_threshold, factor_clip, game, place), coordinates `agents` and `position`
            (from 1) along place.
    Returns:
        Each moment with its interval, and the games whose second moment exceeds the bound by more than rounding.
    """
    rows: Rows = []
    for kl in study["kl_threshold"].values:
        for clip in study["factor_clip"].values:
            part = study.sel(kl_threshold=kl, factor_clip=clip)
            exceeded = np.sum(part["second_moment"].values > part["bound"].values * (1 + 1e-9), axis=0)
            intervals = {name: _interval(part[name].values) for name in MOMENTS}
            for place in range(part.sizes["place"]):
                row: dict[str, Any] = {"kl_threshold": float(kl), "factor_clip": float(clip)}
                row |= {name: int(part[name].values[place]) for name in ("agents", "position")}
                row["games"] = part.sizes["game"]
                for name, interval in intervals.items():
                    row |= _cells(name, Interval(*(end[place] for end in interval)))
                rows.append(row | {"violations": int(exceeded[place])})
    return rows


def growth_rows(study: xr.Dataset) -> Rows:
    """Slope of log variance for each agent more, over the positions of the largest N and over N at the last position.

    Over N the variance is taken relative to that of the first position in the same game, where the factor is 1: else
    it would also say how the advantages of larger games are distributed.

    Args:
        study: as in `variance_rows`, with at least two numbers of agents.
    """
    rows: Rows = []
    largest = int(study["agents"].max())
    positions = (study["agents"] == largest).values
    last, first = (study["position"] == study["agents"]).values, (study["position"] == 1).values
    for kl in study["kl_threshold"].values:
        for clip in study["factor_clip"].values:
            part = study.sel(kl_threshold=kl, factor_clip=clip)
            variance = part["variance"].values
            relative = variance[:, last] / variance[:, first]
            for over, rate in (
                (f"positions, N = {largest}", growth_rate(part["position"].values[positions], variance[:, positions])),
                ("N, last position", growth_rate(part["agents"].values[last], relative)),
            ):
                row = {"kl_threshold": float(kl), "factor_clip": float(clip), "over": over}
                rows.append(row | _cells("rate", rate) | {"factor_per_agent": float(np.exp(rate.point))})
    return rows


def improvement_tolerance(gamma: float) -> float:
    """What rounding may cost in J(π') − J(π) − bound, where rewards are in [−1, 1]: 1e-11 / (1 − γ)²."""
    return 1e-11 / (1.0 - gamma) ** 2


def improvement_rows(study: xr.Dataset) -> Rows:
    """A row for each rule and step size: how often the bound was broken, and how often it promised anything.

    Args:
        study: `improvement` = J(π') − J(π) and `bound` of dims (rule, kl_threshold, game, iteration); attribute gamma.
    """
    tolerance = improvement_tolerance(study.attrs["gamma"])
    rows: Rows = []
    for rule in study["rule"].values:
        for kl in study["kl_threshold"].values:
            part = study.sel(rule=rule, kl_threshold=kl)
            improvement, bound = part["improvement"].values, part["bound"].values
            falls = improvement < -tolerance
            rows.append(
                {
                    "rule": str(rule),
                    "kl_threshold": float(kl),
                    "updates": improvement.size,
                    "violations": int(np.sum(improvement < bound - tolerance)),
                    "falls": int(np.sum(falls)),
                    "falls_where_bound_not_negative": int(np.sum(falls & (bound >= 0))),
                    "bound_not_negative": float(np.mean(bound >= 0)),
                    "bound_above_rounding": float(np.mean(bound > tolerance)),
                    "smallest_margin": float(np.min(improvement - bound)),
                    "median_improvement": float(np.median(improvement)),
                    "median_bound": float(np.median(bound)),
                }
            )
    return rows


def gap_rows(study: xr.Dataset) -> Rows:
    """A row for each kind of step and rule: slopes, how many games were closed, and what is left.

    Args:
        study: `gap` of dims (agent_update, rule, game, iteration), iterations from 1, evenly spaced in the logarithm;
            `expected_return` of dims (agent_update, rule, game), after the last iteration.
    Returns:
        `slope` is over games that could be fitted, whose number is `fitted`. `iterations_to_1e-3` is the median, ∞ if
        half of the games did not get there.
    """
    steps = study["iteration"].values
    rows: Rows = []
    for kind in study["agent_update"].values:
        for rule in study["rule"].values:
            part = study.sel(agent_update=kind, rule=rule)
            gap = part["gap"].values
            slopes = power_law_slopes(steps, gap, GAP_FLOOR)
            fitted = slopes[~np.isnan(slopes)]
            slope = iqm_interval(fitted) if len(fitted) > 1 else Interval(*[np.float64(np.nan)] * 3)  # type: ignore[arg-type]
            closed = gap < GAP_REACHED
            first = np.where(closed.any(1), steps[np.argmax(closed, axis=1)], np.inf)
            rows.append(
                {"agent_update": str(kind), "rule": str(rule), "games": len(gap), "iterations": int(steps[-1])}
                | _cells("slope", slope)
                | {
                    "fitted": len(fitted),
                    "below_1e-3": float(np.mean(closed[:, -1])),
                    "iterations_to_1e-3": float(np.median(first)),
                    "median_gap": float(np.median(gap[:, -1])),
                    "gap_of_worst_tenth": float(np.quantile(gap[:, -1], 0.9)),
                }
                | _cells("expected_return", iqm_interval(part["expected_return"].values))
            )
    return rows


def _interval(values: ArrayLike) -> Interval:
    """Interval over games; a bound that is ∞ for every game stays so."""
    values = np.asarray(values, float)
    endless = np.isinf(values).all(0)
    found = iqm_interval(np.where(endless, 0.0, values))
    return Interval(*(np.where(endless, np.inf, end) for end in found))


def _cells(name: str, interval: Interval) -> dict[str, float]:
    return {name: float(interval.point), f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}
