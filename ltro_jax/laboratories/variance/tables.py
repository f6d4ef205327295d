"""Advantage variance by position in the order and by number of agents, from the metrics that a run stores.

The program reduces every statistic to a few numbers per iteration, so hundreds of seeds are cheap to read. Frozen seeds
are excluded: the mean over their healthy iterations is not a mean over the whole training. Where R overflows float32, a
metric is infinite, and so is its mean over training.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from ltro_jax.algorithms.factor_statistics import FactorStatistics
from ltro_jax.analysis.statistics import Array, Interval, iqm_interval
from ltro_jax.analysis.tables import interval_columns

MEASURED = FactorStatistics._fields


def healthy(metrics: xr.Dataset) -> xr.Dataset:
    """The metrics of the members that were never frozen."""
    return metrics.isel(member=metrics["finite"].transpose("member", "iteration").values.astype(bool).all(1))


def by_position(metrics: xr.Dataset) -> xr.Dataset:
    """`MEASURED` of each healthy member and position, averaged over training: dims (member, position).

    Raises:
        ValueError: the run lacks one of these metrics, or has fewer than two healthy seeds.
    """
    missing = [name for name in MEASURED if name not in metrics]
    if missing:
        raise ValueError(f"the run lacks the metrics {', '.join(missing)}")
    if metrics.sizes["member"] < 2:
        raise ValueError("the run has one seed; an interval needs at least 2")
    kept = healthy(metrics)
    if kept.sizes["member"] < 2:
        frozen = metrics.sizes["member"] - kept.sizes["member"]
        raise ValueError(f"{frozen} of {metrics.sizes['member']} seeds are frozen; an interval needs 2 healthy seeds")
    return kept[list(MEASURED)].mean("iteration", skipna=False, keep_attrs=True)


def growth_rate(num_before: ArrayLike, variance: ArrayLike) -> Interval:
    """Slope of log variance against the number of preceding agents: least squares for each seed, IQM over seeds.

        log Var ≈ a + rate · k,   k agents updated before;  exp(rate) is the factor per agent

    Args:
        num_before: `[P]`, at least two different numbers.
        variance: `[S, P]`, S ≥ 2 seeds, positive and finite.
    Returns:
        The rate, scalars, with its 95 % bootstrap interval over seeds.
    Raises:
        ValueError: fewer than two different numbers, one seed, or a variance that is not positive or infinite.
    """
    count, variance = np.asarray(num_before, float), np.asarray(variance, float)
    if len(np.unique(count)) < 2:
        raise ValueError("a growth rate needs at least two different numbers of agents")
    if not (variance > 0).all():
        raise ValueError("a growth rate needs positive variances")
    if not np.isfinite(variance).all():
        raise ValueError("a growth rate needs finite variances, but R overflows float32")
    centred = count - count.mean()
    return iqm_interval(np.log(variance) @ centred / np.sum(centred**2))


def variance_table(runs: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """A row for each run and position: interquartile means over seeds with 95 % bootstrap intervals.

    Args:
        runs: label → metrics of a run.
    Returns:
        Columns `run`, `task`, `algorithm`, `agents`, `position` (from 1), `seeds` (number of healthy seeds), `frozen`
        (number of frozen seeds), and `name`, `name_low`, `name_high` for each name in `MEASURED`.
    Raises:
        ValueError: as in `by_position`.
    """
    tables = []
    for label, metrics in runs.items():
        means = by_position(metrics)
        columns = {
            "run": label,
            "task": metrics.attrs["task"],
            "algorithm": metrics.attrs["algorithm"],
            "agents": metrics.sizes["agent"],
            "position": np.arange(1, means.sizes["position"] + 1),
            "seeds": means.sizes["member"],
            "frozen": metrics.sizes["member"] - means.sizes["member"],
        }
        for name in MEASURED:
            columns |= interval_columns(name, iqm_interval(means[name].values))
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def last_positions(runs: Sequence[xr.Dataset], name: str) -> tuple[Array, Array]:
    """Variance at the last position of runs that differ in their number of agents.

    Args:
        runs: metrics of each run.
        name: one of `MEASURED`.
    Returns:
        Numbers of agents `[R]`, increasing, and the variances `[S, R]` of the seeds that are healthy in all runs.
    Raises:
        ValueError: two runs have the same number of agents, or fewer than two seeds are healthy in all of them.
    """
    ordered = sorted(runs, key=lambda metrics: metrics.sizes["agent"])
    numbers = np.array([metrics.sizes["agent"] for metrics in ordered], float)
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError("two of the runs have the same number of agents")
    columns = [by_position(metrics)[name].isel(position=-1) for metrics in ordered]
    seeds = [column["seed"].values.tolist() for column in columns]
    common = sorted(set.intersection(*map(set, seeds)))
    if len(common) < 2:
        raise ValueError("the runs have fewer than two healthy seeds in common")
    rows = [
        column.values[[run_seeds.index(s) for s in common]] for column, run_seeds in zip(columns, seeds, strict=True)
    ]
    return numbers, np.stack(rows, axis=1)
