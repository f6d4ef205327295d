"""The Markdown report of the variance study, and how variances grow with the number of agents."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import xarray as xr

from ltro_jax.analysis.statistics import Array
from ltro_jax.analysis.tables import interval_text, join_intervals, markdown_table
from ltro_jax.analysis.variances import VARIANCES
from ltro_jax.config import Config, Hypers, Static
from ltro_jax.config.coercion import number_text
from ltro_jax.laboratories.variance.tables import by_position, growth_rate, last_positions, variance_table
from ltro_jax.runs.load import Run

METRICS = (*VARIANCES.values(), "factor_mean", "factor_max", "factor_above_clip", "kl")
SHOWN = ("run", "N", "seeds", "position", *METRICS)
Curves = dict[str, tuple[Array, Array]]  # label → (counts `[P]`, variances `[S, P]`)


def curves_by_agents(runs: Mapping[str, Run]) -> dict[str, Curves]:
    """Title → curve → (numbers of agents, variances at the last position), of runs that differ only in that number.

    The number is set by `num_agents` or comes with the task, as in SMAX; then the tasks of a family are compared.
    """
    groups: dict[tuple[Static, Hypers, int], list[Run]] = {}
    for run in runs.values():
        static = run.config.static
        options, title = static.options, static.task.partition("/")[0]
        if getattr(options, "num_agents", None):
            options, title = replace(options, num_agents=None), static.task
        alike = replace(static, task=title, options=options), run.config.hypers, run.config.run.total_env_steps
        groups.setdefault(alike, []).append(run)
    titled: dict[str, Curves] = {}
    for (static, hypers, _), members in groups.items():
        if len({run.metrics.sizes["agent"] for run in members}) < max(2, len(members)):
            continue
        default = hypers.factor_clip == default_factor_clip(static.algorithm)
        label = static.algorithm + ("" if default else f" c={number_text(hypers.factor_clip)}")
        for kind, name in VARIANCES.items():
            curve = last_positions([run.metrics for run in members], name)
            titled.setdefault(static.task, {})[f"{label}: {kind}"] = curve
    return titled


def default_factor_clip(algorithm: str) -> float:
    """The clamp of an algorithm unless another is given."""
    return Config().replace(algorithm=algorithm).hypers.factor_clip


def variance_markdown(metrics: Mapping[str, xr.Dataset], by_agents: Mapping[str, Curves]) -> str:
    """The variances, the metrics that explain them, and their growth rates.

    Args:
        metrics: label → metrics of a run.
        by_agents: as `curves_by_agents` returns them.
    """
    table = variance_table(metrics)
    table["seeds"] = [
        f"{seeds}, {frozen} frozen" if frozen else str(seeds)
        for seeds, frozen in zip(table["seeds"], table["frozen"], strict=True)
    ]
    shown = join_intervals(table.rename(columns={"agents": "N"})).reindex(columns=SHOWN)
    return (
        "# Advantage variance\n\n"
        "Mean over training; IQM over seeds [95 % bootstrap interval]. Frozen seeds are excluded; `inf` exceeds "
        f"float32.\n\n{markdown_table(shown)}\n"
        "Growth: slope of log variance per additional agent.\n\n"
        f"{markdown_table(growth_table(metrics, by_agents))}"
    )


def growth_table(metrics: Mapping[str, xr.Dataset], by_agents: Mapping[str, Curves]) -> pd.DataFrame:
    """Growth rates over the positions of each run and over the numbers of agents, as texts.

    Returns:
        Columns `over`, `curve`, `rate` (or the reason why there is none) and `factor per agent`.
    """
    titled: dict[str, Curves] = {}
    for label, dataset in metrics.items():
        if dataset.sizes["position"] > 1:
            means, counts = by_position(dataset), dataset["position"].values
            titled[f"positions of {label}"] = {kind: (counts, means[name].values) for kind, name in VARIANCES.items()}
    titled |= {f"agents of {title}": curves for title, curves in by_agents.items()}
    rows = [(over, kind, *_growth(*curve)) for over, curves in titled.items() for kind, curve in curves.items()]
    return pd.DataFrame(rows, columns=["over", "curve", "rate", "factor per agent"])


def _growth(counts: Array, variances: Array) -> tuple[str, str]:
    try:
        rate = growth_rate(counts, variances)
    except ValueError as error:
        return str(error), ""
    return interval_text(rate, ".3f"), f"{math.exp(rate.point):.3f}"
