"""Runs as series: members that differ only in their seed, with a unique label for each series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from ltro_jax.analysis.statistics import Array
from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.config.coercion import number_text, setting_text
from ltro_jax.reports.estimates import held
from ltro_jax.runs.load import Run, point_members
from ltro_jax.runs.scoring import end_scores, frozen_at, resolve_metric
from ltro_jax.runs.sweep import is_sweep, load_sweep
from ltro_jax.storage import RunError


@dataclass(frozen=True)
class Series:
    """Members that differ only in their seed."""

    label: str  # unique within the task
    task: str
    settings: dict[str, Any]  # without the seeds, the grid and the settings of the host loop
    runs: tuple[Run, ...]
    metrics: xr.Dataset

    @property
    def algorithm(self) -> str:
        return self.settings["algorithm"]

    @property
    def seeds(self) -> list[int]:
        """Seeds of all members, including failed ones."""
        return self.metrics["seed"].values.tolist()

    @cached_property
    def failures(self) -> dict[int, int]:
        """Seed → iteration at which it became non-finite and was frozen."""
        return {seed: at for seed, at in zip(self.seeds, frozen_at(self.metrics), strict=True) if at >= 0}

    @cached_property
    def healthy(self) -> xr.Dataset:
        """The members that did not fail."""
        return self.metrics.isel(member=[seed not in self.failures for seed in self.seeds])

    def curve(self, metric: str) -> xr.DataArray:
        """The recorded values of a metric of the healthy members; gaps between episodes repeat the last value."""
        recorded = self.healthy[metric].transpose("member", "iteration").astype(float).dropna("iteration", how="all")
        return recorded.copy(data=held(recorded.values)) if recorded.size else recorded

    def scores(self, metric: str) -> Array:
        """`[S]` means of the healthy members over the last fifth of the recorded values."""
        return end_scores(self.curve(metric).values)

    @property
    def done(self) -> tuple[int, int]:
        """Environment steps of each member so far and at the end of the run."""
        config = self.runs[0].config
        return int(self.metrics["env_steps"].values[-1]), config.num_iterations * config.static.steps_per_iteration


def not_started(paths: Iterable[str | Path]) -> list[str]:
    """The parts of the sweeps at these paths that have stored nothing yet."""
    parts = []
    for path in map(Path, paths):
        if is_sweep(path):
            sweep = load_sweep(path)
            parts += [name for name in sweep.configs if name not in sweep.runs or not sweep.runs[name].iteration]
    return parts


def gather(runs: Sequence[Run]) -> list[Series]:
    """The runs as series: one for each point of a grid; runs that differ only in their seeds form one series.

    Raises:
        RunError: the metrics of a run are damaged.
    """
    gathered: list[Series] = []
    for run in runs:
        axes = [name for name, _ in run.config.run.grid]
        for point, members in point_members(run.config):
            metrics = run.metrics.isel(member=members).drop_vars(axes, errors="ignore")
            new = Series("", "", _settings(run, point, metrics), (run,), metrics)
            for index, old in enumerate(gathered):
                if old.settings == new.settings and not set(old.seeds) & set(new.seeds):
                    gathered[index] = replace(old, runs=(*old.runs, run), metrics=_joined(old.metrics, metrics))
                    break
            else:
                gathered.append(new)
    return _labelled(_with_tasks(gathered))


def chosen_metric(series: Sequence[Series], metric: str | None) -> str:
    """Check the metric to compare: all runs record it, with one value for each member.

    Args:
        metric: None = the greedy evaluation if all runs have it, else the return of the training episodes.
    Raises:
        SettingsError: the metric is unknown or missing in a run; the message lists the metrics of all runs.
        RunError: a run has no value of the metric yet, or no run has a healthy member.
    """
    by_series = [{str(name) for name, values in entry.metrics.items() if _is_curve(values)} for entry in series]
    common = set.intersection(*by_series)
    if metric not in common and metric in set.union(*by_series):
        lacking = next(entry for entry, names in zip(series, by_series, strict=True) if metric not in names)
        words = ", ".join(sorted(common))
        raise SettingsError(f"metric = {metric} is not in {lacking.runs[0].path}; all runs have {words}")
    metric = resolve_metric(common, metric)
    for entry in series:
        path = entry.runs[0].path
        if entry.healthy.sizes["member"] and not entry.curve(metric).size:
            raise RunError(
                f"{path} has no value of {metric} yet; train it with `ltro resume {path}` or choose another metric"
            )
    if not any(entry.healthy.sizes["member"] for entry in series):
        raise RunError(
            f"every member of {series[0].runs[0].path} became non-finite and was frozen; there is nothing to "
            "report; train again with a smaller actor_lr"
        )
    return metric


def _is_curve(values: xr.DataArray) -> bool:
    return set(values.dims) == {"member", "iteration"} and values.dtype.kind == "f"


def _settings(run: Run, point: dict[str, float], metrics: xr.Dataset) -> dict[str, Any]:
    """The settings of a point that affect its results."""
    everything = run.config.to_dict() | point | {"num_agents": metrics.sizes["agent"]}
    groups = {name: spec.group for name, spec in SETTINGS.items()}  # options of the environment have none
    kept = {name: value for name, value in everything.items() if groups.get(name) != "run"}
    kept |= {name: as_computed(value) for name, value in kept.items() if groups.get(name) == "hypers"}
    return kept | {"total_env_steps": run.config.run.total_env_steps}


def as_computed(value: float) -> float:
    """A hyper-parameter rounded to float32, as the program uses it."""
    return float(number_text(value))


def _joined(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """The members of both, up to the last common iteration."""
    names = [name for name in first if name in second]
    return xr.concat(
        [first[names], second[names]], "member", data_vars="minimal", coords="minimal", compat="override", join="inner"
    )


def _with_tasks(series: Sequence[Series]) -> list[Series]:
    """Each series with its task name and the options that differ between tasks of this name."""
    named = []
    for entry in series:
        same = [other for other in series if other.settings["task"] == entry.settings["task"]]
        options = [name for name in entry.settings if name == "episode_length" or name not in SETTINGS]
        words = [_words(name, entry.settings[name]) for name in differing(same, options)]
        named.append(replace(entry, task=", ".join([entry.settings["task"], *words])))
    return named


def _labelled(series: Sequence[Series]) -> list[Series]:
    """Each series with its label: the algorithm, the settings that differ within a task, and the path if needed.

    If all series have the same algorithm and differ in settings, the label has only the settings.
    """
    telling: dict[str, list[str]] = {}
    for entry in series:
        same = [other for other in series if (other.task, other.algorithm) == (entry.task, entry.algorithm)]
        telling.setdefault(entry.algorithm, []).extend(differing(same, entry.settings))
    labelled, num_algorithms = [], len(telling)
    for entry in series:
        words = [_words(name, entry.settings.get(name)) for name in dict.fromkeys(telling[entry.algorithm])]
        twins = [other for other in series if (other.task, other.settings) == (entry.task, entry.settings)]
        path = [f"({entry.runs[0].path})"] if len(twins) > 1 else []
        algorithm = [entry.algorithm] if num_algorithms > 1 or not words else []
        labelled.append(replace(entry, label=" ".join([*algorithm, *words, *path])))
    return labelled


def differing(series: Sequence[Series], names: Iterable[str]) -> list[str]:
    """The settings among `names` that differ; an option that a task does not have counts as None."""
    first = series[0].settings
    return [name for name in names if any(entry.settings.get(name) != first.get(name) for entry in series)]


def _words(name: str, value: Any) -> str:
    return f"N = {value}" if name == "num_agents" else f"{name}={setting_text(value)}"
