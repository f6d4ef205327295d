"""`ltro plot`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltro_jax.config import SettingsError
from ltro_jax.process.paths import run_path, typed_path

if TYPE_CHECKING:
    import xarray as xr

    from ltro_jax.runs import Run


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "plot",
        help="draw learning curves of one or several runs",
        description="IQM over seeds with a 95 % bootstrap interval, as PNG or PDF by the name of the output.",
    )
    parser.add_argument("paths", type=run_path, metavar="RUN", nargs="+", help="run directories, each one curve")
    parser.add_argument("--metric", default=None, help="what to draw (default: greedy evaluation, else episode return)")
    parser.add_argument(
        "-o", "--output", type=typed_path, metavar="FILE", help="default: RUN/<metric>.png of the first run"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw and say where the picture is."""
    from ltro_jax.analysis.plots import save_figure
    from ltro_jax.runs import load_run
    from ltro_jax.runs.load import default_metric
    from ltro_jax.runs.metric_names import unknown_metric
    from ltro_jax.storage import RunError
    from ltro_jax.storage.atomic import disk_errors

    runs = [load_run(path) for path in options.paths]
    tasks = {opened.config.static.task for opened in runs}
    if len(tasks) > 1:
        raise RunError(f"the runs are of different tasks ({', '.join(sorted(tasks))}); plot them one task at a time")
    units = {(opened.metrics.attrs["team_reward"], opened.metrics.sizes["agent"]) for opened in runs}
    if len(units) > 1:
        words = ", ".join(f"{reward} over {agents} agents" for reward, agents in sorted(units))
        raise RunError(f"the runs measure different team rewards ({words}); plot them one kind at a time")
    names = set.intersection(*(set(map(str, opened.metrics.data_vars)) for opened in runs))
    metric = options.metric or default_metric(names)
    if metric not in names:
        raise unknown_metric(metric, names)
    curves = {
        f"{_label(opened, runs)} {point}".strip(): metrics[metric].astype("float32")
        for opened in runs
        for point, metrics in opened.by_point().items()
    }
    output = Path(options.output or runs[0].path / f"{metric}.png")
    try:
        with disk_errors(f"cannot write {output}", "choose another file with -o"):
            save_figure(_figure(curves, metric, runs[0]), output)
    except ValueError as error:
        raise SettingsError(f"metric = {metric} cannot be drawn as {output}: {error}") from error
    print(f"drawn: {output}")
    return 0


def _figure(curves: dict[str, xr.DataArray], metric: str, first: Run) -> Any:
    from ltro_jax.analysis.plots import learning_curves, position_curves
    from ltro_jax.runs.load import metric_words

    static = first.config.static
    if "position" in next(iter(curves.values())).dims:
        return position_curves(curves, ylabel=metric.replace("_", " "), title=static.task)
    if "agent" in next(iter(curves.values())).dims:
        curves = {
            f"{label} {agent}": curve.sel(agent=agent, drop=True)
            for label, curve in curves.items()
            for agent in curve["agent"].values
        }
    ylabel = metric_words(metric, first.metrics.attrs["team_reward"])
    return learning_curves(curves, ylabel=ylabel, title=static.task)


def _label(opened: Run, runs: list[Run]) -> str:
    """The algorithm, with the run's path where the algorithm alone is not unique."""
    algorithm = opened.config.static.algorithm
    same = [other for other in runs if other.config.static.algorithm == algorithm]
    return algorithm if len(same) == 1 else f"{algorithm} ({opened.path})"
