"""How the variance of the weighted advantage depends on the position in the order and on the number of agents.

Everything is read from the metrics that a run stores (statistics of every iteration, reduced inside the program), so
hundreds of seeds cost nothing here. A seed that was frozen is in no figure: its healthy iterations alone would count as
a whole training. Where R overflows float32, figures of it are infinite, and so is their mean over training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ltro_jax.analysis.statistics import Array, Interval, iqm_interval

VARIANCES = ("adv_variance_raw", "adv_variance_clip1", "adv_variance_used")
MEASURED = (
    *VARIANCES,
    "factor_mean",
    "factor_max",
    "factor_min",
    "factor_ess",
    "factor_above_one",
    "factor_above_clip",
    "kl",
    "total_variation",
)


def healthy(metrics: xr.Dataset) -> xr.Dataset:
    """The members that were never frozen."""
    return metrics.isel(member=metrics["finite"].transpose("member", "iteration").values.astype(bool).all(1))


def by_position(metrics: xr.Dataset) -> xr.Dataset:
    """Each healthy member's figures per position, averaged over training: dims (member, position).

    Raises:
        ValueError: the run has no such metrics; or fewer than two healthy seeds, of which there is no interval.
    """
    missing = [name for name in MEASURED if name not in metrics]
    if missing:
        raise ValueError(f"the run lacks the metrics {', '.join(missing)}")
    if metrics.sizes["member"] < 2:
        raise ValueError("the run has one seed; an interval needs at least 2")
    kept = healthy(metrics)
    if kept.sizes["member"] < 2:
        frozen = metrics.sizes["member"] - kept.sizes["member"]
        raise ValueError(f"{frozen} of {metrics.sizes['member']} seeds were frozen; an interval needs 2 healthy ones")
    return kept[list(MEASURED)].mean("iteration", skipna=False, keep_attrs=True)


def growth_rate(num_before: ArrayLike, variance: ArrayLike) -> Interval:
    """Slope of log variance against the number of agents updated before: least squares for each seed, IQM over seeds.

        log Var ≈ a + rate · k,   k agents updated before;  exp(rate) is the factor that each of them brings

    Args:
        num_before: `[P]`, at least two different numbers.
        variance: `[S, P]`, S ≥ 2 seeds, positive and finite.
    Returns:
        The rate, scalars, with its 95 % bootstrap interval over seeds.
    Raises:
        ValueError: fewer than two different numbers, one seed, or a variance that is not positive or infinite.
    """
    count, logs = np.asarray(num_before, float), np.asarray(variance, float)
    if len(np.unique(count)) < 2:
        raise ValueError("a growth rate needs at least two different numbers of agents")
    if not (logs > 0).all():
        raise ValueError("a growth rate needs positive variances")
    if not np.isfinite(logs).all():
        raise ValueError("a growth rate needs finite variances, and R overflowed float32")
    centred = count - count.mean()
    return iqm_interval(np.log(logs) @ centred / np.sum(centred**2))


def table(runs: Mapping[str, xr.Dataset]) -> list[dict[str, Any]]:
    """A row for each run and position: interquartile means over seeds with 95 % bootstrap intervals.

    Args:
        runs: label → metrics of a run.
    Returns:
        Rows of run, task, algorithm, agents, position (from 1), seeds (the healthy, which the figures are of), frozen
        (how many others there are), and for each figure `name`, `name_low`, `name_high`.
    """
    rows = []
    for label, metrics in runs.items():
        figures = by_position(metrics)
        intervals = {name: iqm_interval(figures[name].values) for name in MEASURED}
        for position in range(figures.sizes["position"]):
            row = {
                "run": label,
                "task": metrics.attrs["task"],
                "algorithm": metrics.attrs["algorithm"],
                "agents": metrics.sizes["agent"],
                "position": position + 1,
                "seeds": figures.sizes["member"],
                "frozen": metrics.sizes["member"] - figures.sizes["member"],
            }
            for name, interval in intervals.items():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), (x[position] for x in interval), strict=True))
            rows.append(row)
    return rows


def last_positions(runs: Sequence[xr.Dataset], name: str) -> tuple[Array, Array]:
    """Variance at the last position of runs that differ in their number of agents.

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
    rows = [column.values[[own.index(seed) for seed in common]] for column, own in zip(columns, seeds, strict=True)]
    return numbers, np.stack(rows, axis=1)
