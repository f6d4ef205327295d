"""Learning curves of runs as one plot."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import FORMATS, learning_curves, position_curves, save_figure
from ltro_jax.config import SettingsError
from ltro_jax.process.paths import typed_path
from ltro_jax.runs.load import Run
from ltro_jax.runs.scoring import metric_words, resolve_metric
from ltro_jax.runs.sweep import Source, open_runs
from ltro_jax.storage import RunError
from ltro_jax.storage.errors import disk_errors


def plot(
    runs: Source | Iterable[Source],
    metric: str | None = None,
    *,
    smoothing: int = 1,
    output: str | Path | None = None,
) -> Figure:
    """Plot a metric of runs of one task: interquartile mean over seeds with its 95 % bootstrap interval.

    Each run, or each point of its grid, is one curve. A metric of positions has one panel for each position, a metric
    of agents one curve for each agent.

    Args:
        runs: a run, a sweep, or the directory of one; or several of these.
        metric: None = `eval_return_greedy` where all runs have evaluations, else `episode_return`.
        smoothing: number of recorded values in a trailing mean of each member; 1 = no smoothing.
        output: `.png` or `.pdf` file to write as well; missing parent directories are made.
    Returns:
        The matplotlib figure, with environment steps on the x axis. In a notebook, `%matplotlib inline` shows it.
    Raises:
        SettingsError: a metric that not all runs have or that cannot be plotted, a `smoothing` below 1 or above the
            number of recorded values, or another suffix of `output`.
        RunError: no run there, no metrics yet, runs of different tasks or team rewards, or a file that cannot be
            written.
    Source: Agarwal et al. 2021 (arXiv 2108.13264) for the mean and the interval.
    """
    opened = open_runs([runs] if isinstance(runs, Source) else runs, with_metrics=True)
    metric = shared_metric(opened, metric)
    output = None if output is None else typed_path(output)
    if output is not None and output.suffix not in FORMATS:
        raise SettingsError(f"output = {output} is not a {' or '.join(FORMATS)} file; choose another name")
    curves = {
        f"{_label(run, opened)} {point}".strip(): metrics[metric].astype("float32")
        for run in opened
        for point, metrics in run.by_point().items()
    }
    figure = _figure(curves, metric, opened[0], _checked(smoothing, curves))
    if output is not None:
        with disk_errors(f"cannot write {output}", "choose another file"):
            save_figure(figure, output)
    return figure


def shared_metric(runs: Sequence[Run], metric: str | None = None) -> str:
    """Check the metric to plot: all runs record it and have the same task and team reward.

    Args:
        metric: as in `plot`.
    Raises:
        SettingsError: not a metric of all runs.
        RunError: the runs differ in their task or team reward.
    """
    tasks = {run.config.static.task for run in runs}
    if len(tasks) > 1:
        raise RunError(f"the runs are of different tasks ({', '.join(sorted(tasks))}); plot each task separately")
    units = {(run.metrics.attrs["team_reward"], run.metrics.sizes["agent"]) for run in runs}
    if len(units) > 1:
        words = ", ".join(f"{reward} over {agents} agents" for reward, agents in sorted(units))
        raise RunError(f"the runs measure different team rewards ({words}); plot each kind separately")
    return resolve_metric(set.intersection(*({str(name) for name in run.metrics.data_vars} for run in runs)), metric)


def _label(run: Run, runs: Sequence[Run]) -> str:
    """The algorithm, with the path of the run if several runs have that algorithm."""
    algorithm = run.config.static.algorithm
    same = [other for other in runs if other.config.static.algorithm == algorithm]
    return algorithm if len(same) == 1 else f"{algorithm} ({run.path})"


def _checked(smoothing: int, curves: dict[str, xr.DataArray]) -> int:
    """`smoothing`, if every curve is at least that long; raises `SettingsError`."""
    if isinstance(smoothing, bool) or not isinstance(smoothing, int) or smoothing < 1:
        raise SettingsError(f"smoothing = {smoothing!r} is not allowed; it must be a whole number, at least 1")
    shortest = min(curve.dropna("iteration", how="all").sizes["iteration"] for curve in curves.values())
    if shortest < smoothing > 1:
        raise SettingsError(f"smoothing = {smoothing} is more than the {shortest} recorded values; choose less")
    return smoothing


def _figure(curves: dict[str, xr.DataArray], metric: str, first: Run, smoothing: int) -> Figure:
    title, dims = first.config.static.task, next(iter(curves.values())).dims
    try:
        if "position" in dims:
            return position_curves(curves, ylabel=metric.replace("_", " "), title=title, window=smoothing)
        if "agent" in dims:
            curves = {
                f"{label} {agent}": curve.sel(agent=agent, drop=True)
                for label, curve in curves.items()
                for agent in curve["agent"].values
            }
        ylabel = metric_words(metric, first.metrics.attrs["team_reward"])
        return learning_curves(curves, ylabel=ylabel, title=title, window=smoothing)
    except ValueError as error:
        raise SettingsError(f"metric = {metric} cannot be plotted: {error}") from error
