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
    settings: dict[str, Any]  # without the seeds, the grid and how the host loop ran it
    runs: tuple[Run, ...]
    metrics: xr.Dataset

    @property
    def algorithm(self) -> str:
        return self.settings["algorithm"]

    @property
    def seeds(self) -> list[int]:
        """Seeds of all members, failed ones too."""
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
        """A metric of the healthy members where it was recorded; between episodes the last value is held."""
        recorded = self.healthy[metric].transpose("member", "iteration").astype(float).dropna("iteration", how="all")
        return recorded.copy(data=held(recorded.values)) if recorded.size else recorded

    def scores(self, metric: str) -> Array:
        """`[S]` means of the healthy members over the last fifth of what was recorded."""
        return end_scores(self.curve(metric).values)

    @property
    def done(self) -> tuple[int, int]:
        """Environment steps of each member so far, and at the end of the run."""
        config = self.runs[0].config
        return int(self.metrics["env_steps"].values[-1]), config.num_iterations * config.static.steps_per_iteration


def not_begun(paths: Iterable[str | Path]) -> list[str]:
    """Parts of the sweeps among these paths that have stored nothing yet."""
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
    """The metric to compare, checked: recorded by all, one number for each member.

    Args:
        metric: None = greedy evaluation where all have it, else the return of the training episodes.
    Raises:
        SettingsError: unknown, or not in all runs; it names those that are.
        RunError: a run has no value of it yet, or no healthy member.
    """
    by_series = [{str(name) for name, values in entry.metrics.items() if _is_curve(values)} for entry in series]
    common = set.intersection(*by_series)
    if metric not in common and metric in set.union(*by_series):
        lacking = next(entry for entry, names in zip(series, by_series, strict=True) if metric not in names)
        words = ", ".join(sorted(common))
        raise SettingsError(f"metric = {metric} is not in {lacking.runs[0].path}; all of the runs have {words}")
    metric = resolve_metric(common, metric)
    for entry in series:
        path = entry.runs[0].path
        if entry.healthy.sizes["member"] and not entry.curve(metric).size:
            raise RunError(
                f"{path} has no value of {metric} yet; train it with `ltro resume {path}` or choose another metric"
            )
    if not any(entry.healthy.sizes["member"] for entry in series):
        raise RunError(
            f"every member of {series[0].runs[0].path} became non-finite and was frozen, so that there is nothing to "
            "report; train again with a smaller actor_lr"
        )
    return metric


def _is_curve(values: xr.DataArray) -> bool:
    return set(values.dims) == {"member", "iteration"} and values.dtype.kind == "f"


def _settings(run: Run, point: dict[str, float], metrics: xr.Dataset) -> dict[str, Any]:
    """What the members of a point have in common and could change their numbers."""
    everything = run.config.to_dict() | point | {"num_agents": metrics.sizes["agent"]}
    groups = {name: spec.group for name, spec in SETTINGS.items()}  # options of the environment have none
    kept = {name: value for name, value in everything.items() if groups.get(name) != "run"}
    kept |= {name: as_computed(value) for name, value in kept.items() if groups.get(name) == "hypers"}
    return kept | {"total_env_steps": run.config.run.total_env_steps}


def as_computed(value: float) -> float:
    """A hyper-parameter without the digits that float32 does not hold: equal for two runs if it is for the program."""
    return float(number_text(value))


def _joined(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Members of both, up to the iteration that both have."""
    names = [name for name in first if name in second]
    return xr.concat(
        [first[names], second[names]], "member", data_vars="minimal", coords="minimal", compat="override", join="inner"
    )


def _with_tasks(series: Sequence[Series]) -> list[Series]:
    """Each with its task, and the options that distinguish it from the other tasks of the same name among them."""
    named = []
    for entry in series:
        same = [other for other in series if other.settings["task"] == entry.settings["task"]]
        options = [name for name in entry.settings if name == "episode_length" or name not in SETTINGS]
        words = [_words(name, entry.settings[name]) for name in differing(same, options)]
        named.append(replace(entry, task=", ".join([entry.settings["task"], *words])))
    return named


def _labelled(series: Sequence[Series]) -> list[Series]:
    """Each with its label: the algorithm, the settings that differ within a task, the path if need be.

    Where all have one algorithm and differ in settings, these alone.
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
    """The settings among `names` that are not the same for all; an option that a task does not have is None."""
    first = series[0].settings
    return [name for name in names if any(entry.settings.get(name) != first.get(name) for entry in series)]


def _words(name: str, value: Any) -> str:
    return f"N = {value}" if name == "num_agents" else f"{name}={setting_text(value)}"
