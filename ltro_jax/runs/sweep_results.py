"""The results of a sweep: a row for each member, and the points ranked by their interquartile mean."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ltro_jax.analysis.results import write_results
from ltro_jax.analysis.statistics import iqm, iqm_interval
from ltro_jax.analysis.tables import csv_text, markdown_table
from ltro_jax.config import Config
from ltro_jax.runs.load import point_label
from ltro_jax.runs.scoring import frozen_at, member_metrics, member_scores, resolve_metric, scored_metric
from ltro_jax.runs.sweep import Sweep
from ltro_jax.storage import MetricStore
from ltro_jax.training import make_train


def member_rows(sweep: Sweep, metric: str | None = None) -> list[dict[str, Any]]:
    """A row for each member of the parts that have started.

    Args:
        metric: the metric to score; None = `eval_return_greedy` if it is available, else `episode_return`.
    Returns:
        `part`, `point` (the hyper-parameters of the grid as text), each hyper-parameter of the grid, `seed`,
        `env_steps`, `score` (mean over the last fifth of the recorded values; NaN if the member is frozen), `highest`
        (highest recorded value; not a score, because it grows with the number of values and their noise), `frozen_at`
        (iteration at which the member became non-finite; -1 if it is healthy).
    Raises:
        SettingsError: a run does not have the metric.
    """
    rows = []
    for name, run in sweep.runs.items():
        if run.iteration == 0:
            continue
        store = MetricStore(run.directory.metrics)
        chosen = scored_metric(store.load(after=run.iteration - 1), metric)
        metrics = store.load(only=(chosen, "finite"))  # `run.metrics` would keep all metrics of every part
        values, scores, frozen = metrics[chosen].values, member_scores(metrics, chosen), frozen_at(metrics)
        for index, member in enumerate(run.config.members):
            point = {axis: getattr(member.hypers, axis) for axis, _ in run.config.run.grid}
            recorded = values[index][~np.isnan(values[index])]
            rows.append(
                {
                    "part": name.split("/")[0],
                    "point": point_label(point),
                    **point,
                    "seed": member.seed,
                    "env_steps": int(metrics["env_steps"].values[-1]),
                    "score": float(scores[index]),
                    "highest": float(recorded.max()) if recorded.size else float("nan"),
                    "frozen_at": frozen[index],
                }
            )
    return rows


def refuse_unknown_score(metric: str, config: Config) -> None:
    """Reject a metric that runs of `config` will not record for each member; compiles nothing.

    Raises:
        SettingsError: as `member_rows` would raise after training.
    """
    resolve_metric(member_metrics(make_train(config)), metric)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points ranked by the interquartile mean of their scores over seeds, best first, without frozen members.

    Returns:
        `part`, `point`, `seeds` (number of healthy members), `frozen` (number of frozen members), `score`, `low`,
        `high` (95 % bootstrap interval; NaN with one seed).
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["part"], row["point"]), []).append(row)
    ranked = []
    for (part, point), members in groups.items():
        scores = np.array([row["score"] for row in members if row["frozen_at"] < 0])
        scores = scores[~np.isnan(scores)]
        point_score = float(iqm(scores)) if scores.size else float("nan")
        low, high = iqm_interval(scores)[1:] if scores.size > 1 else (float("nan"), float("nan"))
        frozen = sum(row["frozen_at"] >= 0 for row in members)
        estimate = {"score": point_score, "low": float(low), "high": float(high)}
        ranked.append({"part": part, "point": point, "seeds": int(scores.size), "frozen": frozen} | estimate)
    return sorted(ranked, key=lambda row: (np.isnan(row["score"]), -np.nan_to_num(row["score"])))


def summary_markdown(ranked: Sequence[Mapping[str, Any]]) -> str:
    """The ranking as a Markdown table."""
    table = pd.DataFrame(ranked, columns=["part", "point", "seeds", "frozen", "score", "low", "high"])
    table["point"] = table["point"].replace("", "–")
    bounds = table[["low", "high"]].to_numpy(float)
    table["interval"] = ["–" if np.isnan(low) else f"[{low:.4g}, {high:.4g}]" for low, high in bounds]
    table = table.drop(columns=["low", "high"])
    titles = {"score": "score (IQM)", "interval": "95 % interval"}
    return markdown_table(table.rename(columns=titles), form=".4g")


def write_tables(sweep: Sweep, metric: str | None = None) -> str:
    """Write `table.csv` of all members and `summary.md`; return the summary. Raises as `member_rows`, or `RunError`."""
    rows = member_rows(sweep, metric)
    ranking = summary_markdown(summary(rows))
    write_results(sweep.path, {"table.csv": csv_text(pd.DataFrame(rows)).encode(), "summary.md": ranking.encode()}, {})
    return ranking
