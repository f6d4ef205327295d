"""The exact studies in words: a Markdown report, a table, a dataset and a figure of each."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.results import csv_text, markdown_table, netcdf_gz
from ltro_jax.laboratories.games import tables as tables
from ltro_jax.laboratories.games.plots import gap_figure, improvement_figure, variance_figure


class Report(NamedTuple):
    """A study in the form in which it is written; `files` by name, figures by name without suffix."""

    markdown: str
    files: Mapping[str, bytes]
    figures: Mapping[str, Figure]


def report_variance(study: xr.Dataset) -> Report:
    """Tables, dataset and figure of `measure_variance`."""
    rows, growth = tables.variance_rows(study), tables.growth_rows(study)
    last = [row for row in rows if row["agents"] == row["position"]]
    left_out = ("position", "games", "violations")
    shown = [{name: value for name, value in row.items() if name not in left_out} for row in last]
    exceeded = sum(row["violations"] for row in rows)
    bounded = study.sizes["game"] * sum(np.isfinite(row["factor_clip"]) for row in rows)
    text = (
        f"# Advantage variance, exactly\n\n{_games(study)}, one exact trust-region update each (KL of every agent < "
        "kl_threshold) with weights min(R, factor_clip), order random; everything enumerated. Variances, second "
        "moments and bounds are in units of max A². The paper's bound c·E[min(R, c)] is on the second moment, which is "
        f"at least the variance. Second moments above the bound where there is one: {exceeded} of {bounded}.\n\n"
        "## Growth\n\nSlope of log variance for each agent more; IQM over games, 95 % bootstrap interval. Over N, "
        f"variances are relative to that of the first position in the same game.\n\n{markdown_table(growth)}\n"
        "## Last position\n\nIQM over games, 95 % bootstrap interval; the CSV file has every position.\n\n"
        f"{markdown_table(shown)}"
    )
    return _report("variance", text, rows, study, variance_figure(study))


def report_improvement(study: xr.Dataset) -> Report:
    """Tables, dataset and figure of `measure_improvement`."""
    rows = tables.improvement_rows(study)
    tolerance = tables.improvement_tolerance(study.attrs["gamma"])
    sums = ("updates", "violations", "falls_where_bound_not_negative")
    updates, violations, falls = (sum(row[name] for row in rows) for name in sums)
    text = (
        f"# Improvement against its lower bound, exactly\n\n{_games(study)}, {study.sizes['iteration']} iterations of "
        "exact trust-region steps each. A violation is J(π') − J(π) below the bound, and a fall J(π') below J(π), by "
        f"more than rounding ({tolerance:.0e}). The bound is that of the rule's own clamp, of c = 1 for simultaneous "
        f"updates.\n\n{updates} updates, {violations} violations, {falls} falls where the bound was ≥ 0.\n\n"
        f"{markdown_table(rows)}"
    )
    return _report("improvement", text, rows, study, improvement_figure(study))


def report_gap(study: xr.Dataset) -> Report:
    """Tables, dataset and figure of `measure_gap`."""
    rows = tables.gap_rows(study)
    text = (
        f"# Nash gap against iterations\n\n{_games(study)}, {int(study['iteration'][-1])} iterations: gradient steps "
        f"(10 steps of size {study.attrs['learning_rate']:g} on the objective with ratios clipped at 0.8 and 1.2) and "
        f"trust-region steps (KL < {study.attrs['kl_threshold']:g}); order random.\n\n"
        "`slope`: least squares of log gap against log iteration for each game, over the last decade of iterations "
        f"before its gap first is ≤ {tables.GAP_FLOOR:g} (which counts as zero; nothing is read from there on), at "
        "iterations evenly spaced in their logarithm; IQM over the `fitted` games with 95 % bootstrap interval. A game "
        "that stays away from an equilibrium is fitted too, with a slope near 0. Where the gap falls faster than any "
        "power, the slope is only that of the last decade. `iterations_to_1e-3`: median, among the iterations kept.\n\n"
        f"{markdown_table(rows)}"
    )
    return _report("nash_gap", text, rows, study, gap_figure(study))


def _games(study: xr.Dataset) -> str:
    """The games in words; the numbers of agents from the settings, or from the places where they vary."""
    of = study.attrs
    agents = of.get("num_agents") or ", ".join(map(str, dict.fromkeys(study["agents"].values.tolist())))
    shape = f"{agents} agents, {of['num_states']} states, {of['num_actions']} actions each, γ = {of['gamma']:g}"
    return f"{study.sizes['game']} random games ({shape}, seed {of['seed']})"


def _report(name: str, text: str, rows: tables.Rows, study: xr.Dataset, figure: Figure) -> Report:
    files = {
        f"{name}.md": text.encode(),
        f"{name}.csv": csv_text(rows).encode(),
        f"{name}.nc.gz": netcdf_gz(study.astype("float32")),
    }
    return Report(text, files, {name: figure})
