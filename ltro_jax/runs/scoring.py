"""Metrics by name, the score of each member, and summaries of evaluations."""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import Array, final_score, iqm, iqm_interval
from ltro_jax.config import Hypers, SettingsError
from ltro_jax.runs.dataset import PER_MEMBER
from ltro_jax.runs.load import Run, point_label, point_members
from ltro_jax.storage import RunError, list_checkpoints
from ltro_jax.training import Train

LAST_SHARE = 5  # the score is the mean over the last fifth of the recorded values
EVALUATION_FILE, BEST_EVALUATION_FILE = "evaluation.json", "evaluation_best.json"  # of `ltro eval`, in the run
PETTINGZOO_FILE = "evaluation_pettingzoo.json"  # of `ltro eval --env pettingzoo`
ABSOLUTE_FACTOR = 10  # the absolute metric takes this many times `eval_episodes` (Gorsane et al. 2022)


# ---- names


def resolve_metric(names: Collection[str], metric: str | None = None) -> str:
    """The metric to show or compare, one of `names`.

    Args:
        names: the metrics to choose from.
        metric: None = `eval_return_greedy` if it is available, else `episode_return`.
    Raises:
        SettingsError: `names` lacks the metric.
    """
    chosen = metric or ("eval_return_greedy" if "eval_return_greedy" in names else "episode_return")
    if chosen not in names:
        raise unknown_metric(chosen, names)
    return chosen


def unknown_metric(name: str, known: Collection[str]) -> SettingsError:
    """The error for a name that is not among `known`: similar names, and all names without an axis and index."""
    near = difflib.get_close_matches(name, sorted(set(known)), 3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    whole = sorted({word for word in known if "/" not in word})
    return SettingsError(f"metric = {name!r} is unknown; {hint}available are {', '.join(whole)}")


def metric_words(metric: str, team_reward: str) -> str:
    """A metric as the label of an axis; for a return also how the agents' rewards are combined."""
    words = re.sub(r"^eval_(.+)_(greedy|sampled)$", r"\2_evaluation_\1", metric).replace("_", " ")
    return f"{words} ({team_reward} over agents)" if "return" in metric and team_reward != "shared" else words


def flat_metrics(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Every metric by its flat name, the same in trackers, tables and commands.

    Returns:
        `[member, iteration]` arrays: `episode_return`; per position in the order `position/adv_variance_used/2`; per
        agent `agent/entropy/0`.
    """
    flat = {}
    for name, values in dataset.data_vars.items():
        axis = next((dim for dim in values.dims if dim not in PER_MEMBER), None)
        if axis is None:
            flat[str(name)] = values.transpose(*PER_MEMBER).values
        else:
            columns = values.transpose(axis, *PER_MEMBER).values
            flat |= {f"{axis}/{name}/{index}": column for index, column in enumerate(columns)}
    return flat


def choose_metrics(dataset: xr.Dataset, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The flat metrics called `names`; `entropy` stands for the values of all agents or positions.

    Raises:
        SettingsError: there is no such metric.
    """
    flat = flat_metrics(dataset)
    chosen: dict[str, np.ndarray] = {}
    for name in names:
        if name not in dataset.data_vars and name not in flat:
            raise unknown_metric(name, [*map(str, dataset.data_vars), *flat])
        chosen |= {key: column for key, column in flat.items() if name in (key, *key.split("/")[1:2])}
    return chosen


def member_metrics(program: Train) -> list[str]:
    """The metrics that a run of `program` records with one value for each member; compiles nothing."""
    hypers = Hypers()
    state = jax.eval_shape(program.init, jnp.uint32(0), hypers)
    _, metrics = jax.eval_shape(program.iterate, state, hypers)
    evaluated = jax.eval_shape(program.evaluate, state, hypers) if program.parts.static.eval_episodes else {}
    return [*metrics.scalar, *evaluated]


# ---- scores


def scored_metric(metrics: xr.Dataset, metric: str | None = None) -> str:
    """As `resolve_metric`, of the metrics with one value for each member and iteration."""
    return resolve_metric([str(name) for name in metrics if metrics[name].dims == PER_MEMBER], metric)


def member_scores(metrics: xr.Dataset, metric: str | None = None) -> Array:
    """`end_scores` of a run, `[S]`; `metric` as in `scored_metric`."""
    return end_scores(metrics[scored_metric(metrics, metric)].values)


def end_scores(values: Array) -> Array:
    """Mean of each member over the last fifth of the recorded iterations, `[S, E]` → `[S]`; NaN if any is missing."""
    recorded = int((~np.isnan(values).all(0)).sum())
    return final_score(values, last=max(1, recorded // LAST_SHARE)) if recorded else np.full(len(values), np.nan)


def frozen_at(metrics: xr.Dataset) -> list[int]:
    """Iteration at which each member was frozen, -1 = never."""
    finite, iterations = metrics["finite"].values, metrics["iteration"].values
    return [-1 if row.all() else int(iterations[np.argmin(row)]) for row in finite]


# ---- evaluations


def absolute_metrics(
    run: Run, kinds: Sequence[str], iteration: int | None = None, members: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Metrics of the best actors in new episodes, ten times `eval_episodes` of each kind.

    The evaluation that selects the best actors is the highest of many and overestimates their mean return. The result
    of `ltro eval --best` is reused if it has the same checkpoint and enough episodes; otherwise the actors are
    evaluated now.

    Args:
        kinds, iteration, members: as in `run.evaluate`.
    Returns:
        The metrics of `run.evaluate`, `[S]`; NaN for a member without best actors.
    Raises:
        As `run.evaluate`.
    Source: Gorsane et al. 2022 (arXiv 2209.10485), section 4.
    """
    run.best_of(run.template())  # else there is nothing to evaluate
    episodes = ABSOLUTE_FACTOR * run.config.static.eval_episodes
    at = iteration if iteration is not None else max(list_checkpoints(run.directory.checkpoints), default=None)
    stored = _stored_best(run, kinds, at, episodes)
    if stored is not None:
        chosen = slice(None) if members is None else np.array(members)
        return {name: values[chosen] for name, values in stored.items()}
    result = run.evaluate(episodes, best=True, kinds=kinds, members=members, iteration=iteration)
    return {name: variable.values for name, variable in _evaluated(result).items()}


def _stored_best(run: Run, kinds: Sequence[str], iteration: int | None, episodes: int) -> dict[str, np.ndarray] | None:
    """The metrics of `evaluation_best.json`; None unless the file fits the arguments."""
    try:
        stored = run.directory.read_json(BEST_EVALUATION_FILE)
        same = stored["actors"] == "best" and stored["iteration"] == iteration and stored["episodes"] >= episodes
        if not same or stored["seed"] != [member.seed for member in run.config.members]:
            return None
        names = [name for name in stored if name.startswith("eval_") and name.endswith(tuple(kinds))]
        metrics = {name: np.array(stored[name], float) for name in names}
    except (RunError, KeyError, TypeError, ValueError):
        return None
    complete = all(f"eval_return_{kind}" in metrics for kind in kinds)
    return metrics if complete and all(v.shape == (len(stored["seed"]),) for v in metrics.values()) else None


def counted_members(result: xr.Dataset) -> np.ndarray:
    """`[S]` bool: the members that are not frozen; for best actors, the members that have any."""
    return result["best_iteration"].values > 0 if "best_iteration" in result else result["frozen_at"].values < 0


def evaluation_summary(run: Run, result: xr.Dataset) -> list[dict[str, Any]]:
    """Interquartile mean over seeds with its bootstrap interval, for each point of the grid (one without a grid).

    Args:
        result: as from `run.evaluate`, of all members.
    Returns:
        For each point: `point` in words, the number of `members` that count (`counted_members`), and for every
        evaluated metric `{"iqm", "low", "high"}`: 95 % interval, None with fewer than two members.
    """
    counted, rows = counted_members(result), []
    for point, members in point_members(run.config):
        chosen = np.flatnonzero(counted[members]) + members.start
        estimates = {name: _estimate(variable.values[chosen]) for name, variable in _evaluated(result).items()}
        rows.append({"point": point_label(point), "members": len(chosen), **estimates})
    return rows


def transfer_gap(
    here: Sequence[dict[str, Any]], there: Sequence[dict[str, Any]], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """For each point of the grid: IQM in another environment minus IQM in ours; None without a member that counts.

    Args:
        here, there: as from `evaluation_summary`.
    """
    names = [f"eval_return_{kind}" for kind in kinds]
    rows = []
    for ours, theirs in zip(here, there, strict=True):
        estimates = {name: (ours[name]["iqm"], theirs[name]["iqm"]) for name in names}
        gaps = {name: None if None in pair else pair[1] - pair[0] for name, pair in estimates.items()}
        rows.append({"point": ours["point"], **gaps})
    return rows


def evaluation_report(run: Run, result: xr.Dataset, summary: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An evaluation for JSON: a list over members for each metric, the summary, the settings and the run."""
    columns = {str(name): variable.values.tolist() for name, variable in result.variables.items()}
    static = run.config.static
    about = {"run": str(run.path), "task": static.task, "algorithm": static.algorithm}
    return about | dict(result.attrs) | columns | {"summary": list(summary), "settings": run.config.to_dict()}


def _evaluated(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """The metrics of an evaluation, without the variables that describe its members."""
    return {str(name): variable for name, variable in result.items() if str(name).startswith("eval_")}


def _estimate(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return {"iqm": None, "low": None, "high": None}
    if len(values) == 1:
        return {"iqm": float(iqm(values)), "low": None, "high": None}
    return dict(zip(("iqm", "low", "high"), map(float, iqm_interval(values)), strict=True))
