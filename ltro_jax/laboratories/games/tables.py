"""Tables of the exact studies of random games; intervals are over games, as those of training runs are over seeds.

An interval is an interquartile mean over games with its 95 % bootstrap interval.
"""

from collections.abc import Hashable, Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from ltro_jax.analysis.statistics import Interval, iqm_interval
from ltro_jax.analysis.tables import HIGH, LOW, interval_columns
from ltro_jax.laboratories.games.problems import WeightMoments
from ltro_jax.laboratories.games.rates import power_law_slopes
from ltro_jax.laboratories.variance.tables import growth_rate

GAP_FLOOR = 1e-9  # below it a gap counts as zero: rewards are in [−1, 1], the solves are good to about 1e-12
BIAS_FLOOR = 1e-12  # below it a bias in units of max |A| is rounding and counts as zero
GAP_REACHED = 1e-3  # a game with a smaller gap counts as closed
MOMENTS = WeightMoments._fields


def variance_table(study: xr.Dataset) -> pd.DataFrame:
    """A row for each step size, clamp, number of agents and position.

    Args:
        study: `MOMENTS` of dims (kl_threshold, factor_clip, game, place), coordinates `agents` and `position`
            (from 1) along place.
    Returns:
        Each moment with its interval, and `violations`: games whose second moment exceeds the bound by more than
        rounding.
    """
    tables = []
    for labels, part in _parts(study, "kl_threshold", "factor_clip"):
        columns = labels | {name: part[name].values for name in ("agents", "position")}
        columns["games"] = part.sizes["game"]
        for name in MOMENTS:
            columns |= interval_columns(name, _interval(part[name].values))
        exceeded = part["second_moment"].values > part["bound"].values * (1 + 1e-9)
        tables.append(pd.DataFrame(columns | {"violations": np.sum(exceeded, axis=0)}))
    return pd.concat(tables, ignore_index=True)


def growth_table(study: xr.Dataset) -> pd.DataFrame:
    """Slope of log variance per additional agent, over the positions of the largest N and over N at the last position.

    Over N, the variance is relative to that of the first position in the same game, where the factor is 1. Otherwise
    the slope would also depend on how advantages are distributed in larger games.

    Args:
        study: as in `variance_table`, with at least two numbers of agents.
    """
    rows = []
    largest = int(study["agents"].max())
    positions = (study["agents"] == largest).values
    last, first = (study["position"] == study["agents"]).values, (study["position"] == 1).values
    for labels, part in _parts(study, "kl_threshold", "factor_clip"):
        variance = part["variance"].values
        relative = variance[:, last] / variance[:, first]
        rates = {
            f"positions, N = {largest}": growth_rate(part["position"].values[positions], variance[:, positions]),
            "N, last position": growth_rate(part["agents"].values[last], relative),
        }
        for over, rate in rates.items():
            columns = labels | {"over": over} | interval_columns("rate", rate)
            rows.append(columns | {"factor_per_agent": np.exp(rate.point)})
    return pd.DataFrame(rows)


def factor_rules_table(study: xr.Dataset) -> pd.DataFrame:
    """A row for each step size, weight of the factor, number of agents and position.

    Args:
        study: `bias` and `variance` of dims (kl_threshold, weight, game, place), coordinates `rule` and `parameter`
            along weight, `agents` and `position` (from 1) along place; attribute `num_samples`.
    Returns:
        With their intervals over games, in units of max |A| or its square: `bias`, its absolute value
        `absolute_bias`, `standard_deviation` of a sample, and `mse_n` = bias² + variance / n for each n.
    """
    tables = []
    for labels, part in _parts(study, "kl_threshold", "weight"):
        columns = labels | {name: part[name].item() for name in ("rule", "parameter")}
        columns |= {name: part[name].values for name in ("agents", "position")}
        bias = np.where(np.abs(part["bias"].values) < BIAS_FLOOR, 0.0, part["bias"].values)
        variance = part["variance"].values
        values = {"bias": bias, "absolute_bias": np.abs(bias), "standard_deviation": np.sqrt(variance)}
        values |= {f"mse_{n}": bias**2 + variance / n for n in np.atleast_1d(study.attrs["num_samples"])}
        for name, of_games in values.items():
            columns |= interval_columns(name, iqm_interval(of_games))
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def lowest_errors(table: pd.DataFrame) -> pd.DataFrame:
    """The weight with the lowest mean squared error at the last position, for each step size, N and n.

    Args:
        table: `factor_rules_table`.
    Returns:
        A row for each step size and number of agents, and a column for each n.
    """
    last = table.query("agents == position").set_index("weight")
    errors = [name for name in table.columns if name.startswith("mse_") and not name.endswith((LOW, HIGH))]
    rows = []
    for kl, agents in last[["kl_threshold", "agents"]].drop_duplicates().itertuples(index=False):
        group = last.query("kl_threshold == @kl and agents == @agents")
        rows.append({"kl_threshold": kl, "agents": agents} | {name: str(group[name].idxmin()) for name in errors})
    return pd.DataFrame(rows)


def improvement_tolerance(gamma: float) -> float:
    """Rounding error of J(π') − J(π) − bound if rewards are in [−1, 1]: 1e-11 / (1 − γ)²."""
    return 1e-11 / (1.0 - gamma) ** 2


def improvement_table(study: xr.Dataset) -> pd.DataFrame:
    """A row for each rule and step size: how often the bound was violated, and how often it guaranteed anything.

    Args:
        study: `improvement` = J(π') − J(π) and `bound` of dims (rule, kl_threshold, game, iteration); attribute gamma.
    """
    tolerance = improvement_tolerance(study.attrs["gamma"])
    rows = []
    for labels, part in _parts(study, "rule", "kl_threshold"):
        improvement, bound = part["improvement"].values, part["bound"].values
        falls = improvement < -tolerance
        columns = {
            "updates": improvement.size,
            "violations": np.sum(improvement < bound - tolerance),
            "falls": np.sum(falls),
            "falls_where_bound_not_negative": np.sum(falls & (bound >= 0)),
            "bound_not_negative": np.mean(bound >= 0),
            "bound_above_rounding": np.mean(bound > tolerance),
            "smallest_margin": np.min(improvement - bound),
            "median_improvement": np.median(improvement),
            "median_bound": np.median(bound),
        }
        rows.append(labels | columns)
    return pd.DataFrame(rows)


def gap_table(study: xr.Dataset) -> pd.DataFrame:
    """A row for each kind of step and rule: slopes, the share of closed games, and the final gaps.

    Args:
        study: `gap` of dims (agent_update, rule, game, iteration), iterations from 1, evenly spaced in the logarithm;
            `expected_return` of dims (agent_update, rule, game), after the last iteration.
    Returns:
        `slope` is over the games that could be fitted, whose number is `fitted`. `iterations_to_1e-3` is the median
        over all games, ∞ if half of them did not reach that gap.
    """
    steps = study["iteration"].values
    rows = []
    for labels, part in _parts(study, "agent_update", "rule"):
        gap = part["gap"].values
        slopes = power_law_slopes(steps, gap, GAP_FLOOR)
        fitted = slopes[~np.isnan(slopes)]
        slope = iqm_interval(fitted) if len(fitted) > 1 else Interval(*np.full(3, np.nan))
        closed = gap < GAP_REACHED
        first = np.where(closed.any(1), steps[np.argmax(closed, axis=1)], np.inf)
        columns = {"games": len(gap), "iterations": int(steps[-1])} | interval_columns("slope", slope)
        columns |= {
            "fitted": len(fitted),
            "below_1e-3": np.mean(closed[:, -1]),
            "iterations_to_1e-3": np.median(first),
            "median_gap": np.median(gap[:, -1]),
            "gap_of_worst_tenth": np.quantile(gap[:, -1], 0.9),
        }
        rows.append(
            labels | columns | interval_columns("expected_return", iqm_interval(part["expected_return"].values))
        )
    return pd.DataFrame(rows)


def _parts(study: xr.Dataset, *dims: str) -> Iterator[tuple[dict[Hashable, object], xr.Dataset]]:
    """The study at each combination of coordinates of `dims`, the last changing fastest, with these coordinates."""
    for index in np.ndindex(*(study.sizes[dim] for dim in dims)):
        part = study.isel(dict(zip(dims, index, strict=True)))
        yield {dim: part[dim].item() for dim in dims}, part


def _interval(values: ArrayLike) -> Interval:
    """Interval over games; a bound that is ∞ for every game stays ∞."""
    values = np.asarray(values, float)
    infinite = np.isinf(values).all(0)
    interval = iqm_interval(np.where(infinite, 0.0, values))
    return Interval(*(np.where(infinite, np.inf, end) for end in interval))
