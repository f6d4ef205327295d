"""The variance laboratory: train or read runs, and write what their advantage variance does."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis import variance
from ltro_jax.analysis.figures import count_curves, learning_curves, position_curves
from ltro_jax.analysis.statistics import Interval
from ltro_jax.config import Config, SettingsError
from ltro_jax.presets import preset_or_defaults
from ltro_jax.runs.load import Run
from ltro_jax.runs.results import csv_text, file_name, write_results
from ltro_jax.runs.train import train_or_resume
from ltro_jax.storage import RunError

KINDS = {"raw": "adv_variance_raw", "used": "adv_variance_used"}  # R·A, and with the weight that the update used


def configurations(
    tasks: Sequence[str],
    algorithms: Sequence[str],
    factor_clips: Sequence[float] = (),
    num_agents: Sequence[int] = (),
    **settings: Any,
) -> dict[str, Config]:
    """Label → settings of every combination; presets where there are, else default settings.

    Args:
        factor_clips: empty = each algorithm's own.
        num_agents: empty = each task's own.
    Raises:
        SettingsError: as `Config`.
    """
    configs = {}
    for task, algorithm, clip, agents in product(tasks, algorithms, factor_clips or [None], num_agents or [None]):
        chosen = {"factor_clip": clip, "num_agents": agents}
        own = settings | {name: value for name, value in chosen.items() if value is not None}
        config = preset_or_defaults(task, algorithm, **own)
        words = [algorithm, *([f"c={clip:g}"] if clip is not None else []), *([f"N={agents}"] if agents else [])]
        if len(config.run.seeds) < 2:
            seed = ",".join(map(str, config.run.seeds))
            raise SettingsError(f"seeds = {seed} is one seed; an interval needs at least 2")
        configs[" ".join([task, *words])] = config
    return configs


def train_all(configs: Mapping[str, Config], directory: Path, progress: bool, command: str | None) -> dict[str, Run]:
    """The finished runs, under `directory`; those that are there are gone on with.

    Raises:
        RunError: one was stopped before its end, or its directory holds other settings.
    """
    runs = {}
    for label, config in configs.items():
        path = directory / file_name(label)
        runs[label] = train_or_resume(config, path, progress=progress, command=command)
        if not runs[label].finished:
            raise RunError(f"{path} was stopped before its end; the same command goes on")
    return runs


def write_study(metrics: Mapping[str, xr.Dataset], directory: Path) -> list[Path]:
    """Tables, datasets and figures of runs, all made before the first is written.

    Args:
        metrics: label → metrics of a run.
    Returns:
        The files.
    Raises:
        ValueError: a run without the needed metrics, or with one seed.
    """
    rows = variance.table(metrics)
    texts = {"table.csv": csv_text(rows), "table.md": _markdown(rows, metrics)}
    figures: dict[str, Figure] = {}
    for task, number in sorted({(dataset.attrs["task"], dataset.sizes["agent"]) for dataset in metrics.values()}):
        same = {
            label: dataset
            for label, dataset in metrics.items()
            if (dataset.attrs["task"], dataset.sizes["agent"]) == (task, number)
        }
        stem, title = f"{file_name(task)}-N{number}", f"{task}, N = {number}"
        figures |= {f"{name}-{stem}": figure for name, figure in _figures(same, title).items()}
    for task, growing in _growing(metrics).items():
        figures[f"variance_by_agents-{file_name(task)}"] = count_curves(
            growing, xlabel="agents", ylabel="advantage variance, last position", title=task
        )
    files = {name: text.encode() for name, text in texts.items()}
    for label, dataset in metrics.items():
        figures_of_run = variance.by_position(dataset).drop_vars("agent", errors="ignore")
        files[f"datasets/{file_name(label)}.nc"] = bytes(figures_of_run.to_netcdf(engine="scipy"))
    return write_results(directory, files, figures)


def _figures(runs: Mapping[str, xr.Dataset], title: str) -> dict[str, Figure]:
    """Figures of runs with the same task and number of agents."""
    over_training = {
        f"{label}: {kind}": dataset[name] for label, dataset in runs.items() for kind, name in KINDS.items()
    }
    iterations = min(dataset.sizes["iteration"] for dataset in runs.values())
    figures = {
        "variance_over_training": position_curves(
            over_training, ylabel="advantage variance", title=title, window=max(1, iterations // 20)
        )
    }
    positions = {
        f"{label}: {kind}": (dataset["position"].values + 1, variance.by_position(dataset)[name].values)
        for label, dataset in runs.items()
        for kind, name in KINDS.items()
    }
    figures["variance_by_position"] = count_curves(
        positions, xlabel="position in the order", ylabel="advantage variance, mean over training", title=title
    )
    scores = {label: dataset["episode_return"] for label, dataset in runs.items()}
    if all(bool(score.notnull().any()) for score in scores.values()):
        figures["learning_curves"] = learning_curves(scores, ylabel="episode return", title=title, show_seeds=False)
    return figures


def _growing(metrics: Mapping[str, xr.Dataset]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Task → curve → (numbers of agents, variances at the last position), where runs differ only in that number."""
    groups: dict[tuple[str, str], list[xr.Dataset]] = {}
    for label, dataset in metrics.items():
        kind = " ".join(word for word in label.split()[1:] if not word.startswith("N=")) or dataset.attrs["algorithm"]
        groups.setdefault((dataset.attrs["task"], kind), []).append(dataset)
    curves: dict[str, dict[str, tuple[Any, Any]]] = {}
    for (task, kind), runs in groups.items():
        if len({dataset.sizes["agent"] for dataset in runs}) < max(2, len(runs)):
            continue
        for name, figure in KINDS.items():
            curves.setdefault(task, {})[f"{kind}: {name}"] = variance.last_positions(runs, figure)
    return curves


def _markdown(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, xr.Dataset]) -> str:
    """The variances and what explains them, and how fast they grow."""
    shown = ("adv_variance_raw", "adv_variance_used", "factor_mean", "factor_max", "factor_above_clip", "kl")
    lines = ["# Advantage variance", "", "Mean over training; IQM over seeds [95 % bootstrap interval].", ""]
    lines += ["| run | N | position | " + " | ".join(shown) + " |", "|---|---|---|" + "---|" * len(shown)]
    for row in rows:
        cells = (f"{row[name]:.3g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]" for name in shown)
        lines.append(f"| {row['run']} | {row['agents']} | {row['position']} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Growth: slope of log variance for each agent more.",
        "",
        "| over | curve | rate | factor per agent |",
    ]
    lines.append("|---|---|---|---|")
    for label, dataset in metrics.items():
        if dataset.sizes["position"] > 1:
            for kind, name in KINDS.items():
                values = variance.by_position(dataset)[name].values
                lines.append(_growth(f"positions of {label}", kind, dataset["position"].values, values))
    for task, curves in _growing(metrics).items():
        lines += [_growth(f"agents of {task}", kind, *curve) for kind, curve in curves.items()]
    return "\n".join(lines) + "\n"


def _growth(over: str, kind: str, counts: Any, values: Any) -> str:
    try:
        rate: Interval = variance.growth_rate(counts, values)
    except ValueError as error:
        return f"| {over} | {kind} | {error} | |"
    cell = f"{rate.point:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
    return f"| {over} | {kind} | {cell} | {math.exp(rate.point):.3f} |"
