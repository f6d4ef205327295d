"""The progress of a run or a sweep, from another process: reads files only, without a lock or a device."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import iqm
from ltro_jax.config import Config
from ltro_jax.runs.load import Run, load_run, point_label, point_members
from ltro_jax.runs.progress import read_progress
from ltro_jax.runs.scoring import choose_metrics, frozen_at
from ltro_jax.runs.sweep import is_sweep, load_sweep
from ltro_jax.storage import MetricStore, RunError, newest_checkpoint
from ltro_jax.storage.lock import holder

Known = dict[Path, tuple[int, list[int]]]  # run → last iteration read, and where members froze
USUAL = ("episode_return", "win_rate", "eval_return_greedy", "eval_return_sampled", "eval_win_rate_greedy")


@dataclass(frozen=True)
class RunStatus:
    """The state of a run; unknown values are None. Steps are environment steps of each member."""

    path: str
    state: str  # waiting (in a sweep), running, stopped, finished, unreadable
    task: str = ""
    algorithm: str = ""
    members: int = 0
    iteration: int = 0
    num_iterations: int = 0
    env_steps: int = 0
    total_env_steps: int = 0
    steps_per_second: float | None = None  # of all members, while the run trains
    seconds_left: float | None = None
    held_by: str | None = None  # the writing process and its host
    seconds_since_sign: float | None = None  # since the last device call or checkpoint
    checkpoint: int | None = None  # iteration
    checkpoint_age: float | None = None  # seconds
    metrics_at: int | None = None  # iteration of the metrics below, the last stored one
    points: list[dict[str, Any]] = field(default_factory=list)  # IQM over the healthy members of each point
    latest: list[dict[str, Any]] = field(default_factory=list)  # values of each member
    frozen: list[dict[str, Any]] = field(default_factory=list)  # frozen members with the iteration
    problem: str | None = None  # why the run is unreadable


def statuses(path: str | Path, metrics: Sequence[str] = (), known: Known | None = None) -> list[RunStatus]:
    """The run at `path`, or every run of the sweep at `path` in queue order.

    Args:
        metrics: flat or whole names; () = returns and, if recorded, win rates.
        known: a dictionary to reuse across calls, so that older rows are read once.
    Raises:
        RunError: `path` holds no run or sweep. An unreadable run of a sweep gets the state `unreadable`.
        SettingsError: unknown metric.
    """
    if not is_sweep(path):
        return [run_status(load_run(path), metrics, known)]
    result = []
    sweep = load_sweep(path)
    for name, config in sweep.configs.items():
        part = sweep.path / name
        try:
            begun = (part / "settings.json").exists()
            result.append(run_status(load_run(part), metrics, known) if begun else _waiting(part, config))
        except RunError as error:
            result.append(RunStatus(str(part), "unreadable", problem=str(error)))
    return result


def run_status(run: Run, metrics: Sequence[str] = (), known: Known | None = None) -> RunStatus:
    """The status of one run; arguments and errors as in `statuses`. Raises `RunError` if the metrics are damaged."""
    store = MetricStore(run.directory.metrics)
    writing, checkpoint, record = holder(run.path), newest_checkpoint(run.directory.checkpoints), None
    state = run.state
    if state == "running":
        record = read_progress(run.path)
    stored = store.last_iteration()
    rows = patiently(lambda: store.load(after=store.last_iteration() - 1)) if stored else None
    signs = [datetime.fromisoformat(record["time"]).timestamp()] if record else []
    signs += [checkpoint[1]] if checkpoint else []
    iteration = max(stored, record["iteration"]) if record else stored
    steps = run.config.static.steps_per_iteration
    status = RunStatus(
        path=str(run.path),
        state=state,
        task=run.config.static.task,
        algorithm=run.config.static.algorithm,
        members=len(run.config.members),
        iteration=iteration,
        num_iterations=run.config.num_iterations,
        env_steps=iteration * steps,
        total_env_steps=run.config.num_iterations * steps,
        steps_per_second=record["steps_per_second"] if record else None,
        seconds_left=record["seconds_left"] if record else None,
        held_by=f"process {writing.pid} on {writing.host}" if writing and state == "running" else None,
        seconds_since_sign=max(0.0, time.time() - max(signs)) if signs else None,
        checkpoint=checkpoint[0] if checkpoint else None,
        checkpoint_age=max(0.0, time.time() - checkpoint[1]) if checkpoint else None,
    )
    if rows is None:
        return status
    points, latest = _latest(run, rows, metrics)
    at = int(rows["iteration"].values[-1])
    return replace(status, metrics_at=at, points=points, latest=latest, frozen=_frozen(run, store, rows, known))


def patiently(read: Callable[[], xr.Dataset]) -> xr.Dataset:
    """Read metrics that the training process may be replacing: retry failed reads."""
    for _ in range(4):
        try:
            return read()
        except RunError:
            time.sleep(0.1)
    return read()


def healthy_iqm(values: np.ndarray) -> float | None:
    """Interquartile mean over the members with finite values `[S]`; None if there are none."""
    known = values[np.isfinite(values)].astype(float)
    return float(iqm(known)) if known.size else None


def _latest(run: Run, rows: xr.Dataset, metrics: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The last row of each point and of each member."""
    chosen = choose_metrics(rows, metrics or [name for name in USUAL if name in rows])
    last = {name: values[:, -1].astype(float) for name, values in chosen.items()}
    points = [
        {"point": point_label(point)} | {name: healthy_iqm(values[members]) for name, values in last.items()}
        for point, members in point_members(run.config)
    ]
    latest = [
        {"member": run.config.describe(member)}
        | {name: float(values[index]) if np.isfinite(values[index]) else None for name, values in last.items()}
        for index, member in enumerate(run.config.members)
    ]
    return points, latest


def _frozen(run: Run, store: MetricStore, rows: xr.Dataset, known: Known | None) -> list[dict[str, Any]]:
    """Members that became non-finite. Older rows are read only if there are such members and `known` lacks them."""
    if rows["finite"].values[:, -1].all():
        return []
    last, (done, frozen) = int(rows["iteration"].values[-1]), (known or {}).get(run.path, (0, []))
    if done > last:  # resumed from an older checkpoint
        done, frozen = 0, []
    if done < last:
        new = patiently(lambda: store.load(after=done, only=("finite",)))
        before = frozen or [-1] * rows.sizes["member"]
        frozen = [old if old >= 0 else at for old, at in zip(before, frozen_at(new), strict=True)]
        done = int(new["iteration"].values[-1])
    if known is not None:
        known[run.path] = (done, frozen)
    return [
        {"member": run.config.describe(member), "iteration": at}
        for member, at in zip(run.config.members, frozen, strict=True)
        if at >= 0
    ]


def _waiting(part: Path, config: Config) -> RunStatus:
    return RunStatus(
        str(part),
        "waiting",
        config.static.task,
        config.static.algorithm,
        len(config.members),
        num_iterations=config.num_iterations,
        total_env_steps=config.num_iterations * config.static.steps_per_iteration,
    )
