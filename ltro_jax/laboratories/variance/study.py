"""The variance laboratory: train or read runs, and write what their advantage variance does."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import count_curves, learning_curves, position_curves
from ltro_jax.analysis.results import csv_text, file_name, write_results
from ltro_jax.analysis.statistics import Interval
from ltro_jax.config import Config, SettingsError
from ltro_jax.config.coercion import number_text
from ltro_jax.laboratories.controlled.moments import agreement_figure
from ltro_jax.laboratories.controlled.tables import controlled_markdown
from ltro_jax.laboratories.variance import tables as variance
from ltro_jax.presets import preset_or_defaults
from ltro_jax.process.interrupts import forget_interrupt, was_interrupted
from ltro_jax.runs.load import Run, Stopped
from ltro_jax.runs.progress import Mode
from ltro_jax.runs.sweep import refuse_impossible
from ltro_jax.runs.train import train_or_resume

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
        SettingsError: one of them cannot be trained, or has a setting that its algorithm does not read.
    """
    configs: dict[str, Config] = {}
    clips, numbers = list(factor_clips) or [None], list(num_agents) or [None]
    for task, algorithm, clip, agents in product(tasks, algorithms, clips, numbers):
        chosen = {"factor_clip": clip, "num_agents": agents}
        own = settings | {name: value for name, value in chosen.items() if value is not None}
        config = preset_or_defaults(task, algorithm, **own)
        words = [config.static.algorithm]
        words += [f"c={number_text(clip)}"] if clip is not None else []
        words += [f"N={agents}"] if agents else []
        if len(config.run.seeds) < 2:
            seed = ",".join(map(str, config.run.seeds))
            raise SettingsError(f"seeds = {seed} is one seed; an interval needs at least 2")
        label = " ".join([config.static.task, *words])
        if label in configs:
            raise SettingsError(f"{label} would be trained twice; name each task, algorithm and value once")
        configs[label] = config
    refuse_impossible(configs)
    return configs


def train_all(configs: Mapping[str, Config], directory: Path, progress: Mode, command: str | None) -> dict[str, Run]:
    """The finished runs, under `directory`; runs that are already there are resumed.

    Raises:
        RunError: one was stopped before its end, or its directory holds other settings.
    """
    runs: dict[str, Run] = {}
    forget_interrupt()
    for label, config in configs.items():
        if was_interrupted():
            raise Stopped(directory)
        path = directory / file_name(label)
        runs[label] = train_or_resume(config, path, progress=progress, command=command)
        if not runs[label].finished:
            raise Stopped(directory)
    return runs


def write_study(
    runs: Mapping[str, Run], directory: Path, controlled: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> list[Path]:
    """Tables, datasets and figures of runs, all made before the first is written.

    Args:
        runs: label → run.
        controlled: label → rows of `controlled_rows`; None = not measured.
    Returns:
        The files.
    Raises:
        ValueError: a run without the needed metrics, or with fewer than two healthy seeds.
    """
    metrics = {label: run.metrics for label, run in runs.items()}
    rows, growing = variance.table(metrics), _growing(runs)
    texts = {"table.csv": csv_text(rows), "table.md": _markdown(rows, metrics, growing)}
    figures: dict[str, Figure] = {}
    for task, number in sorted({(dataset.attrs["task"], dataset.sizes["agent"]) for dataset in metrics.values()}):
        same = {
            label: variance.healthy(dataset)
            for label, dataset in metrics.items()
            if (dataset.attrs["task"], dataset.sizes["agent"]) == (task, number)
        }
        stem, title = f"{file_name(task)}-N{number}", f"{task}, N = {number}"
        figures |= {f"{name}-{stem}": figure for name, figure in _figures(same, title).items()}
    for title, curves in growing.items():
        figures[f"variance_by_agents-{file_name(title)}"] = count_curves(
            curves, xlabel="agents", ylabel="advantage variance, last position", title=title
        )
    if controlled:
        everything = [{"run": label} | dict(row) for label, of_run in controlled.items() for row in of_run]
        texts |= {"controlled.csv": csv_text(everything), "controlled.md": controlled_markdown(controlled)}
        figures["controlled"] = agreement_figure(controlled, "Fresh actions, fixed policies")
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


def _growing(runs: Mapping[str, Run]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Title → curve → (numbers of agents, variances at the last position), of runs alike but for that number.

    The number is chosen (`num_agents`) or comes with the task, as in SMAX; then the tasks of a family are compared.
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs.values():
        static = run.config.static
        place = static.task if static.num_agents else static.task.split("/")[0]
        alike = replace(static, task=place, num_agents=None), run.config.hypers, run.config.run.total_env_steps
        groups.setdefault(alike, []).append(run)
    curves: dict[str, dict[str, tuple[Any, Any]]] = {}
    for (static, hypers, _), members in groups.items():
        if len({run.metrics.sizes["agent"] for run in members}) < max(2, len(members)):
            continue
        own = static.algorithm.startswith("clip_")
        clip = "" if hypers.factor_clip == (1.0 if own else math.inf) else f" c={number_text(hypers.factor_clip)}"
        for name, figure in KINDS.items():
            values = variance.last_positions([run.metrics for run in members], figure)
            curves.setdefault(static.task, {})[f"{static.algorithm}{clip}: {name}"] = values
    return curves


def _markdown(
    rows: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, xr.Dataset],
    growing: Mapping[str, Mapping[str, tuple[Any, Any]]],
) -> str:
    """The variances and what explains them, and how fast they grow."""
    shown = ("adv_variance_raw", "adv_variance_used", "factor_mean", "factor_max", "factor_above_clip", "kl")
    lines = [
        "# Advantage variance",
        "",
        "Mean over training; IQM over seeds [95 % bootstrap interval]. Without frozen seeds; `inf` exceeds float32.",
        "",
        "| run | N | seeds | position | " + " | ".join(shown) + " |",
        "|---|---|---|---|" + "---|" * len(shown),
    ]
    for row in rows:
        cells = (f"{row[name]:.3g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]" for name in shown)
        seeds = f"{row['seeds']}, {row['frozen']} frozen" if row["frozen"] else row["seeds"]
        lines.append(f"| {row['run']} | {row['agents']} | {seeds} | {row['position']} | " + " | ".join(cells) + " |")
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
    for title, curves in growing.items():
        lines += [_growth(f"agents of {title}", kind, *curve) for kind, curve in curves.items()]
    return "\n".join(lines) + "\n"


def _growth(over: str, kind: str, counts: Any, values: Any) -> str:
    try:
        rate: Interval = variance.growth_rate(counts, values)
    except ValueError as error:
        return f"| {over} | {kind} | {error} | |"
    cell = f"{rate.point:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
    return f"| {over} | {kind} | {cell} | {math.exp(rate.point):.3f} |"
