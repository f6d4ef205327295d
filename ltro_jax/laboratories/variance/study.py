"""The variance study: train or read runs, and write their advantage variances as tables, datasets and plots."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import count_curves
from ltro_jax.analysis.results import file_name, write_results
from ltro_jax.analysis.tables import csv_text
from ltro_jax.config import Config, SettingsError
from ltro_jax.config.coercion import number_text
from ltro_jax.laboratories.controlled.moments import agreement_figure
from ltro_jax.laboratories.controlled.tables import Controlled, controlled_markdown
from ltro_jax.laboratories.variance.plots import variance_figures
from ltro_jax.laboratories.variance.reports import curves_by_agents, variance_markdown
from ltro_jax.laboratories.variance.tables import by_position, healthy, variance_table
from ltro_jax.presets import preset_or_defaults
from ltro_jax.process.interrupts import forget_interrupt, was_interrupted
from ltro_jax.runs.load import Run, Stopped
from ltro_jax.runs.progress import Mode
from ltro_jax.runs.sweep import refuse_impossible
from ltro_jax.runs.train import train_or_resume


def configurations(
    tasks: Sequence[str],
    algorithms: Sequence[str],
    factor_clips: Sequence[float] = (),
    num_agents: Sequence[int] = (),
    **settings: Any,
) -> dict[str, Config]:
    """Label → settings of every combination, from the preset if there is one, otherwise from the default settings.

    Args:
        factor_clips: empty = the default of each algorithm.
        num_agents: empty = the default of each task.
        settings: further settings of all combinations, by flat name.
    Raises:
        SettingsError: a combination cannot be trained, has one seed, or has a setting that its algorithm does not read.
    """
    configs: dict[str, Config] = {}
    clips, numbers = list(factor_clips) or [None], list(num_agents) or [None]
    for task, algorithm, clip, agents in product(tasks, algorithms, clips, numbers):
        varied = {"factor_clip": clip, "num_agents": agents}
        chosen = {name: value for name, value in varied.items() if value is not None}
        config = preset_or_defaults(task, algorithm, **(settings | chosen))
        words = [config.static.task, config.static.algorithm]
        words += [f"c={number_text(clip)}"] if clip is not None else []
        words += [f"N={agents}"] if agents else []
        if len(config.run.seeds) < 2:
            seed = ",".join(map(str, config.run.seeds))
            raise SettingsError(f"seeds = {seed} is one seed; an interval needs at least 2")
        label = " ".join(words)
        if label in configs:
            raise SettingsError(f"{label} would be trained twice; name each task, algorithm and value once")
        configs[label] = config
    refuse_impossible(configs)
    return configs


def train_all(configs: Mapping[str, Config], directory: Path, progress: Mode, command: str | None) -> dict[str, Run]:
    """Train each configuration in a subdirectory of `directory`, or resume the run there; returns label → finished run.

    Raises:
        RunError: a run was stopped before its end, or its directory holds other settings.
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
    runs: Mapping[str, Run], directory: Path, controlled: Mapping[str, Controlled] | None = None
) -> list[Path]:
    """Write tables, datasets and plots of runs; everything is computed before the first file is written.

    Args:
        runs: label → run.
        controlled: label → `controlled_table`; None = not measured.
    Returns:
        The paths of all files.
    Raises:
        ValueError: a run lacks a metric, or has fewer than two healthy seeds.
        RunError: a file cannot be written.
    """
    metrics = {label: run.metrics for label, run in runs.items()}
    by_agents = curves_by_agents(runs)
    texts = {
        "table.csv": csv_text(variance_table(metrics)),
        "table.md": variance_markdown(metrics, by_agents),
    }
    figures = _figures_by_task(metrics)
    for title, curves in by_agents.items():
        figures[f"variance_by_agents-{file_name(title)}"] = count_curves(
            curves, xlabel="agents", ylabel="advantage variance, last position", title=title
        )
    if controlled:
        moments = {label: of_run.moments for label, of_run in controlled.items()}
        by_rule = {label: of_run.rules for label, of_run in controlled.items() if of_run.rules is not None}
        texts |= {"controlled.csv": _joined_csv(moments), "controlled.md": controlled_markdown(controlled)}
        if by_rule:
            texts["controlled_rules.csv"] = _joined_csv(by_rule)
        figures["controlled"] = agreement_figure(moments, "Fresh actions, fixed policies")
    files = {name: text.encode() for name, text in texts.items()}
    for label, dataset in metrics.items():
        means = by_position(dataset).drop_vars("agent", errors="ignore")
        files[f"datasets/{file_name(label)}.nc"] = bytes(means.to_netcdf(engine="scipy"))
    return write_results(directory, files, figures)


def _joined_csv(tables: Mapping[str, pd.DataFrame]) -> str:
    """The tables of all runs as CSV, with the label of the run in the first column."""
    return csv_text(pd.concat(tables, names=["run"]).reset_index("run"))


def _figures_by_task(metrics: Mapping[str, xr.Dataset]) -> dict[str, Figure]:
    """File name → plot; runs with the same task and number of agents share a plot."""
    groups: dict[tuple[str, int], dict[str, xr.Dataset]] = {}
    for label, dataset in metrics.items():
        task_and_number = dataset.attrs["task"], dataset.sizes["agent"]
        groups.setdefault(task_and_number, {})[label] = healthy(dataset)
    return {
        f"{name}-{file_name(task)}-N{number}": figure
        for (task, number), group in sorted(groups.items(), key=lambda item: item[0])
        for name, figure in variance_figures(group, f"{task}, N = {number}").items()
    }
