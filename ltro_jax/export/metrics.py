"""Metrics of runs in other formats: tidy tables as CSV or Parquet, JSON for marl-eval, and one run as NetCDF."""

import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from ltro_jax.analysis.tables import csv_text
from ltro_jax.config import SettingsError
from ltro_jax.process.files import write_atomically
from ltro_jax.runs.load import Run, point_label
from ltro_jax.runs.scoring import absolute_metrics, choose_metrics, flat_metrics, unknown_metric
from ltro_jax.storage import MetricStore, RunError, RunWarning
from ltro_jax.storage.errors import disk_errors, one_line

EVALUATED, GREEDY = "eval_", "_greedy"


def export_runs(runs: Sequence[Run], form: str, output: str | Path, metrics: Sequence[str] = ()) -> Path:
    """Write the metrics of runs to one file, atomically.

    Args:
        runs: at least one.
        form: one of `FORMS`, or "netcdf" for one run, as its `metrics.nc`.
        output: the file.
        metrics: names as in `choose_metrics`; () = all (marl-eval: every greedy evaluation).
    Returns:
        `output`.
    Raises:
        SettingsError: a metric is unknown, netcdf is given several runs, or an extra is not installed.
        RunError: metrics are missing, damaged or impossible in this format, or the file cannot be written.
    """
    output, problem, remedy = Path(output), f"cannot write {output}", "choose another file with -o"
    if form == "netcdf":
        store, only = _netcdf(runs, metrics)
        with disk_errors(problem, remedy):
            output.parent.mkdir(parents=True, exist_ok=True)
        store.consolidate(output, only)
        return output
    data = FORMS[form](runs, metrics)
    with disk_errors(problem, remedy):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, data)
    return output


def tidy(runs: Sequence[Run], metrics: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each measured value.

    Returns:
        Columns `run` (path), `task`, `algorithm`, `point` (hyper-parameters of the grid as text), a column for each of
        these hyper-parameters, `seed`, `iteration`, `env_steps` (of each member), `metric`, `axis` ("", "position" or
        "agent"), `index` (on that axis; missing without an axis) and `value` (float64). Missing values (no evaluation,
        or a frozen member) have no row.
    """
    parts = []
    for run in runs:
        dataset = run.metrics
        flat = choose_metrics(dataset, metrics) if metrics else flat_metrics(dataset)
        members, times = len(run.config.members), dataset.sizes["iteration"]
        points = [{axis: getattr(m.hypers, axis) for axis, _ in run.config.run.grid} for m in run.config.members]
        labels = {
            "run": str(run.path),
            "task": run.config.static.task,
            "algorithm": run.config.static.algorithm,
            "point": np.repeat([point_label(point) for point in points], times),
            **{axis: np.repeat([point[axis] for point in points], times) for axis in points[0]},
            "seed": np.repeat([member.seed for member in run.config.members], times),
            "iteration": np.tile(dataset["iteration"].values, members),
            "env_steps": np.tile(dataset["env_steps"].values, members),
        }
        frame = pd.DataFrame(labels)
        for name, values in flat.items():
            axis, metric, index = name.split("/") if "/" in name else ("", name, None)
            column = pd.array([None if index is None else int(index)] * len(frame), dtype="Int64")
            rows = frame.assign(metric=metric, axis=axis, index=column, value=values.reshape(-1).astype(float))
            parts.append(rows[rows["value"].notna()])
    table = pd.concat(parts, ignore_index=True)
    first = ["run", "task", "algorithm", "point"]
    last = ["seed", "iteration", "env_steps", "metric", "axis", "index", "value"]
    return table.reindex(columns=first + [name for name in table.columns if name not in first + last] + last)


def marl_eval(runs: Sequence[Run], metrics: Sequence[str] = ()) -> dict[str, Any]:
    """The raw data that marl-eval reads: environment → task → algorithm → run → step → metric → list of one mean.

    marl-eval takes the names of runs and steps from the first algorithm and looks them up in all others. So the runs
    of each algorithm are numbered by position (`seed_0`, `seed_1`, …, not by seed), and the algorithms of a task must
    have the same number of runs and the same steps.

    The steps are the evaluations after every `eval_interval` iterations; a last evaluation after a shorter interval is
    left out with a `RunWarning`. `eval_return_greedy` is called `return`, `eval_win_rate_greedy` `win_rate`, and so on.
    `absolute_metrics` describe the best policy of each seed in ten times `eval_episodes` new episodes, as
    stored by `ltro eval --best` or evaluated now. If that is not possible (no checkpoint, the environment is not
    installed, too little memory), they are left out with a `RunWarning`: the highest evaluation during training is not
    a score. The name of the algorithm distinguishes the points of a grid, and runs of one algorithm on
    one task.

    Raises:
        RunError: there are no evaluations, a seed was frozen (the format has no missing values), or the algorithms of
            a task differ in their steps or number of runs.
    Source: Gorsane et al. 2022 (arXiv 2209.10485), section 4; the README of github.com/instadeepai/marl-eval.
    """
    content: dict[str, Any] = {}
    chosen = [(run, *_evaluations(run, metrics)) for run in runs]
    _require_comparable(runs, [run.metrics["env_steps"].values[evaluated].tolist() for run, _, evaluated in chosen])
    for run, columns, evaluated in chosen:  # all are checked first
        family, _, task = run.config.static.task.partition("/")
        steps, absolute = run.metrics["env_steps"].values, _absolute(run)
        for index in range(len(run.config.members)):
            rows = {at: {name: [float(column[index, at])] for name, column in columns.items()} for at in evaluated}
            numbered = {f"step_{k}": {"step_count": int(steps[at])} | rows[at] for k, at in enumerate(evaluated)}
            if absolute:
                numbered["absolute_metrics"] = {name: [float(absolute[name][index])] for name in columns}
            algorithms = content.setdefault(family, {}).setdefault(task, {})
            seeds = algorithms.setdefault(_algorithm(run, runs, index), {})
            seeds[f"seed_{len(seeds)}"] = numbered
    return content


def _evaluations(run: Run, metrics: Sequence[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Greedy evaluations `[member, iteration]` by marl-eval's names, and the indices of evaluated iterations.

    Raises:
        RunError: there is no evaluation, or a member lacks a value.
    """
    flat = flat_metrics(run.metrics)
    names = [name for name in flat if name.startswith(EVALUATED) and name.endswith(GREEDY)]
    if metrics:
        names = [name for name in choose_metrics(run.metrics, metrics) if name in names]
    if not names:
        raise RunError(f"{run.path} has no greedy evaluation to export, and marl-eval reads nothing else")
    evaluated = _regular(run, np.flatnonzero(~np.isnan(flat[names[0]]).all(0)))
    for index, member in enumerate(run.config.members):
        if not all(np.isfinite(flat[name][index, evaluated]).all() for name in names):
            raise RunError(
                f"{run.config.describe(member)} of {run.path} became non-finite, which marl-eval cannot represent; "
                "leave that run out, or export csv"
            )
    return {_bare(name): flat[name] for name in names}, evaluated


def _regular(run: Run, evaluated: np.ndarray) -> np.ndarray:
    """Without a last evaluation after a shorter interval: marl-eval needs equal intervals."""
    interval, iterations = run.config.static.eval_interval, run.metrics["iteration"].values[evaluated]
    if len(evaluated) < 2 or iterations[-1] % interval == 0:
        return evaluated
    warnings.warn(
        f"the last evaluation of {run.path}, after iteration {iterations[-1]}, is left out: marl-eval needs one "
        f"evaluation every {interval} iterations",
        RunWarning,
        stacklevel=4,
    )
    return evaluated[:-1]


def _require_comparable(runs: Sequence[Run], steps: Sequence[Sequence[int]]) -> None:
    """Check that the algorithms of a task have the same evaluated steps and number of runs, as marl-eval requires.

    Raises:
        RunError: the steps or the numbers of runs differ.
    """
    first: dict[str, tuple[Run, Sequence[int]]] = {}
    numbers: dict[str, dict[str, int]] = {}
    for run, run_steps in zip(runs, steps, strict=True):
        task = run.config.static.task
        other, wanted = first.setdefault(task, (run, run_steps))
        if run_steps != wanted:
            raise RunError(
                f"{run.path} is evaluated {_in_words(run_steps)} but {other.path} {_in_words(wanted)}, and marl-eval "
                f"needs the same steps of all algorithms on {task}; export them to separate files, or export csv"
            )
        for index in range(len(run.config.members)):
            labels = numbers.setdefault(task, {})
            label = _algorithm(run, runs, index)
            labels[label] = labels.get(label, 0) + 1
    for task, labels in numbers.items():
        if len(set(labels.values())) > 1:
            counts = ", ".join(f"{label}: {count}" for label, count in labels.items())
            raise RunError(
                f"marl-eval needs equally many seeds of all algorithms on {task} ({counts}); train the missing seeds, "
                "export them to separate files, or export csv"
            )


def _in_words(steps: Sequence[int]) -> str:
    """`5 times, at 640 to 3200 steps`."""
    return f"{len(steps)} times, at {steps[0]} to {steps[-1]} steps" if steps else "never"


def _bare(name: str) -> str:
    """`eval_win_rate_greedy` → `win_rate`."""
    return name.removeprefix(EVALUATED).removesuffix(GREEDY)


def _absolute(run: Run) -> dict[str, np.ndarray] | None:
    """Absolute metrics of all members by marl-eval's names; None if the best policies cannot be evaluated here."""
    try:
        scores = absolute_metrics(run, kinds=("greedy",))
    except (RunError, SettingsError, jax.errors.JaxRuntimeError) as error:
        sentence = f"absolute_metrics of {run.path} are left out, and marl-eval's aggregates need them"
        warnings.warn(f"{sentence}: {one_line(error)}", RunWarning, stacklevel=4)
        return None
    return {_bare(name): values for name, values in scores.items()}


def _algorithm(run: Run, runs: Sequence[Run], index: int) -> str:
    """Name of a member's algorithm for marl-eval, without commas; with the path if another run shares its seeds."""
    static, seeds = run.config.static, set(run.config.run.seeds)
    point = {axis: getattr(run.config.members[index].hypers, axis) for axis, _ in run.config.run.grid}
    words = [static.algorithm, *([point_label(point)] if point else [])]
    for other in runs:
        same = (other.config.static.task, other.config.static.algorithm) == (static.task, static.algorithm)
        if other is not run and same and seeds & set(other.config.run.seeds):
            return " ".join([*words, f"({run.path})"]).replace(",", ";")
    return " ".join(words)


def _csv(runs: Sequence[Run], metrics: Sequence[str]) -> bytes:
    return csv_text(tidy(runs, metrics), float_format="%.9g").encode()


def _parquet(runs: Sequence[Run], metrics: Sequence[str]) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise SettingsError(
            "format = parquet needs the extra 'export', which is not installed; get it with "
            "pip install -c constraints.txt -e '.[export]', or choose csv"
        )
    buffer = io.BytesIO()
    tidy(runs, metrics).to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _netcdf(runs: Sequence[Run], metrics: Sequence[str]) -> tuple[MetricStore, list[str] | None]:
    """The store of the run, and the variables named in `metrics`; None = all."""
    if len(runs) != 1:
        raise SettingsError(f"format = netcdf takes one run, not {len(runs)}; export each run to a separate file")
    store = MetricStore(runs[0].directory.metrics)
    last = store.load(after=store.last_iteration() - 1)
    for name in metrics:
        if name not in last.data_vars:
            raise unknown_metric(name, [str(known) for known in last.data_vars])
    return store, list(metrics) or None


def _marl_eval(runs: Sequence[Run], metrics: Sequence[str]) -> bytes:
    return (json.dumps(marl_eval(runs, metrics), indent=1, allow_nan=False) + "\n").encode()


FORMS: dict[str, Callable[[Sequence[Run], Sequence[str]], bytes]] = {
    "csv": _csv,
    "parquet": _parquet,
    "marl-eval": _marl_eval,
}
