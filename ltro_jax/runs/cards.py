"""Runs, sweeps and policies as HTML, for the last expression of a notebook cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np
import xarray as xr

from ltro_jax.analysis.statistics import iqm
from ltro_jax.display.curve import curve_svg, make_curve
from ltro_jax.display.html import Html, bar, card, facts, folded, paragraph, table
from ltro_jax.display.settings import changed_settings, member_words, name_list
from ltro_jax.runs.load import Run, point_label, point_members
from ltro_jax.runs.scoring import frozen_at, member_scores, metric_words, resolve_metric
from ltro_jax.storage import MetricStore, RunError

if TYPE_CHECKING:
    from ltro_jax.runs.policy import Policy
    from ltro_jax.runs.sweep import Sweep

DEFAULT_METRICS = ("eval_return_greedy", "episode_return")  # candidates of `resolve_metric`
SHARING = {"none": "one for each agent", "all": "shared by all agents", "groups": "shared by agents of one type"}


def run_html(run: Run) -> str:
    """State, progress, final score, learning curve, and the settings that differ from the preset."""
    static, total = run.config.static, run.config.num_iterations
    try:
        iteration, state = run.iteration, run.state
        metric, metrics = _shown_metrics(run) if iteration else ("", None)
    except RunError as error:
        return card(f"Run: {static.algorithm} on {static.task}", paragraph(error), badge="unreadable")
    steps = static.steps_per_iteration
    values = {
        "path": run.path,
        "members": member_words(run.config),
        "iterations": f"{iteration:,} of {total:,}",
        "env steps of each member": f"{iteration * steps:,} of {total * steps:,}",
    }
    blocks = []
    if metrics is not None:
        words = metric_words(metric, metrics.attrs["team_reward"])
        scores, frozen = member_scores(metrics, metric), np.array(frozen_at(metrics)) >= 0
        values["frozen (non-finite)"] = f"{frozen.sum()} of {frozen.size} members" if frozen.any() else None
        if not run.config.run.grid:
            values[words] = _score(scores)
        blocks = [_curves(run, metrics[metric], words), _points(run, scores, words)]
    return card(
        f"Run: {static.algorithm} on {static.task}",
        facts(values),
        bar(iteration / total) if state != "finished" else Html(""),
        *blocks,
        changed_settings(run.config),
        badge=state,
    )


def sweep_html(sweep: Sweep) -> str:
    """Progress, the points ranked by score, and all members ranked when opened."""
    from ltro_jax.runs.sweep_results import member_rows, summary

    done = sum(run.finished for run in sweep.runs.values())
    values = {"path": sweep.path, "parts": f"{done} of {len(sweep.configs)} finished"}
    title = f"Sweep: {len(sweep.configs)} part{'s' * (len(sweep.configs) != 1)}"
    try:
        rows = member_rows(sweep)
    except RunError as error:
        return card(title, facts(values), paragraph(error), badge="unreadable")
    ranked = [
        (rank, row["part"], row["point"] or "–", row["seeds"], row["frozen"], f"{row['score']:.4g}", _interval(row))
        for rank, row in enumerate(summary(rows), start=1)
    ]
    best_first = sorted(rows, key=lambda row: (np.isnan(row["score"]), -np.nan_to_num(row["score"])))
    members = [
        (
            rank,
            row["part"],
            row["point"] or "–",
            row["seed"],
            f"frozen at iteration {row['frozen_at']}" if row["frozen_at"] >= 0 else f"{row['score']:.4g}",
        )
        for rank, row in enumerate(best_first, start=1)
    ]
    progress = sum(run.iteration for run in sweep.runs.values())
    total = sum(config.num_iterations for config in sweep.configs.values())
    return card(
        title,
        facts(values),
        bar(progress / total) if not sweep.finished else Html(""),
        table(("rank", "part", "point", "seeds", "frozen", "score (IQM)", "95 % interval"), ranked)
        if ranked
        else Html(""),
        folded(f"all {len(members)} members", table(("rank", "part", "point", "seed", "score"), members))
        if members
        else Html(""),
        badge="finished" if sweep.finished else "unfinished",
    )


def policy_html(policy: Policy) -> str:
    """Network, algorithm, environment, and where the parameters come from with their return in evaluations."""
    static, spec, origin = policy.parts.static, policy.spec, policy.origin
    layers = " → ".join(map(str, (*static.hidden_sizes, *(["GRU"] if static.recurrent else []))))
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(policy.params))
    evaluation = origin.get("evaluation") or {}
    return card(
        f"Policy: {static.algorithm} on {spec.name}",
        facts(
            {
                "network": f"{layers}, {'with' if static.layer_norm else 'without'} LayerNorm, "
                f"{SHARING.get(static.share_parameters, f'shared within groups {static.share_parameters}')}",
                "parameters": f"{count:,}",
                "agents": f"{spec.num_agents}: {name_list(spec.agents)}",
                "actions": "discrete" if spec.discrete else "continuous",
                "run": origin.get("run"),
                "member": origin.get("member"),
                "iteration": origin.get("iteration"),
            }
            | {
                f"{kind} return": f"{evaluation[name]:.4g}"
                for kind in ("greedy", "sampled")
                if np.isfinite(evaluation.get(name := f"eval_return_{kind}", np.nan))
            }
        ),
    )


def _shown_metrics(run: Run) -> tuple[str, xr.Dataset]:
    """The shown metric, and a dataset with it and `finite`; files are read only if `run.metrics` is not loaded."""
    shown = (*DEFAULT_METRICS, "finite")
    metrics = vars(run).get("metrics")
    if metrics is None:
        metrics = MetricStore(run.directory.metrics).load(only=shown)
    return resolve_metric([str(name) for name in metrics]), metrics


def _curves(run: Run, metric: xr.DataArray, words: str) -> Html:
    """A curve for each point of the grid."""
    values, steps = metric.values, metric["env_steps"].values
    return curve_svg(
        [make_curve(point_label(point), steps, values[members]) for point, members in point_members(run.config)], words
    )


def _points(run: Run, scores: np.ndarray, words: str) -> Html:
    """The score of each point of a grid."""
    if not run.config.run.grid:
        return Html("")
    rows = [(point_label(point), _score(scores[members])) for point, members in point_members(run.config)]
    return table(("point", f"score (IQM of {words})"), rows)


def _score(scores: np.ndarray) -> str:
    healthy = scores[np.isfinite(scores)]
    return f"{float(iqm(healthy)):.4g}" if healthy.size else "no value"


def _interval(row: dict) -> str:
    return "–" if np.isnan(row["low"]) else f"[{row['low']:.4g}, {row['high']:.4g}]"
