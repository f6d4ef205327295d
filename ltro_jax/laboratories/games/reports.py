"""Reports of the exact studies: text as Markdown, a table, a dataset and a plot of each."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.results import netcdf_gz
from ltro_jax.analysis.tables import csv_text, join_intervals, markdown_table
from ltro_jax.laboratories.games.plots import factor_rules_figure, gap_figure, improvement_figure, variance_figure
from ltro_jax.laboratories.games.tables import (
    GAP_FLOOR,
    factor_rules_table,
    gap_table,
    growth_table,
    improvement_table,
    improvement_tolerance,
    lowest_errors,
    variance_table,
)


class Report(NamedTuple):
    """The files of a study before they are written."""

    files: Mapping[str, bytes]  # name → contents
    figures: Mapping[str, Figure]  # name without suffix → plot


def report_variance(study: xr.Dataset) -> Report:
    """Tables, dataset and plot of `measure_variance`."""
    table = variance_table(study)
    last = table.query("agents == position").drop(columns=["position", "games", "violations"])
    bounded = study.sizes["game"] * int(np.isfinite(table["factor_clip"]).sum())
    text = (
        f"# Advantage variance, exactly\n\n{_games(study)}, one exact trust-region update each (KL of every agent < "
        "kl_threshold) with weights min(R, factor_clip) in random order; all expectations are enumerated. Variances, "
        "second moments and bounds are in units of max A². The paper's bound c·E[min(R, c)] is on the second moment, "
        "which is at least the variance. Second moments above the bound, of those that have a bound: "
        f"{table['violations'].sum()} of {bounded}.\n\n"
        "## Growth\n\nSlope of log variance per additional agent; IQM over games, 95 % bootstrap interval. Over N, "
        "variances are relative to that of the first position in the same game.\n\n"
        f"{markdown_table(join_intervals(growth_table(study)))}\n"
        "## Last position\n\nIQM over games, 95 % bootstrap interval; the CSV file has every position.\n\n"
        f"{markdown_table(join_intervals(last))}"
    )
    return _report("variance", text, table, study, variance_figure(study))


def report_factor_rules(study: xr.Dataset) -> Report:
    """Table, dataset and plot of `measure_factor_rules`."""
    table = factor_rules_table(study)
    largest = study["kl_threshold"].values.max()
    last = table.query("agents == position and kl_threshold == @largest")
    shown = join_intervals(last).drop(columns=["kl_threshold", "rule", "parameter", "position", "absolute_bias"])
    text = (
        f"# Bias and variance of the weights of the factor, exactly\n\n{_games(study)}, one exact trust-region update "
        "each (KL of every agent < kl_threshold) without a clamp in random order; all weights w are measured on the "
        "same two policies, and all expectations are enumerated. `bias`: E[w·A] − E[R·A]. `standard_deviation`: of "
        "w·A for one sample. `mse_n`: bias² + variance / n, the mean squared error of the mean over n independent "
        "samples. self_normalised is a ratio estimator: its values are those of many samples, bias 0 because E[R] = 1 "
        "and the variance of the delta method. Biases and standard deviations are in units of max |A|.\n\n"
        "## Weight with the lowest mean squared error\n\nLast position, IQM over games. These errors include the "
        "scale of the weights, which a step of normalised length ignores: if all R > c, min(R, c) is a "
        "constant, and R / mean R differs from R by a constant for each batch.\n\n"
        f"{markdown_table(lowest_errors(table))}\n"
        f"## Last position, KL < {largest:g}\n\nIQM over games, 95 % bootstrap interval; the CSV file has every "
        f"position and step size.\n\n{markdown_table(shown)}"
    )
    return _report("factor_rules", text, table, study, factor_rules_figure(study))


def report_improvement(study: xr.Dataset) -> Report:
    """Table, dataset and plot of `measure_improvement`."""
    table = improvement_table(study)
    tolerance = improvement_tolerance(study.attrs["gamma"])
    updates, violations, falls = table[["updates", "violations", "falls_where_bound_not_negative"]].sum()
    text = (
        f"# Improvement against its lower bound, exactly\n\n{_games(study)}, {study.sizes['iteration']} iterations of "
        "exact trust-region steps each. In a violation, J(π') − J(π) is below the bound, and in a fall, J(π') is below "
        f"J(π), by more than rounding ({tolerance:.0e}). The bound is for the clamp of the rule, and for c = 1 with "
        f"simultaneous updates.\n\n{updates} updates, {violations} violations, {falls} falls where the bound was "
        f"≥ 0.\n\n{markdown_table(table)}"
    )
    return _report("improvement", text, table, study, improvement_figure(study))


def report_gap(study: xr.Dataset) -> Report:
    """Table, dataset and plot of `measure_gap`."""
    table = gap_table(study)
    text = (
        f"# Nash gap against iterations\n\n{_games(study)}, {int(study['iteration'][-1])} iterations: gradient steps "
        f"(10 steps of size {study.attrs['learning_rate']:g} on the objective with ratios clipped at 0.8 and 1.2) and "
        f"trust-region steps (KL < {study.attrs['kl_threshold']:g}), in random order.\n\n"
        "`slope`: least squares of log gap against log iteration for each game, over the last decade of iterations "
        f"before its gap first is ≤ {GAP_FLOOR:g}, which counts as zero; later iterations are not used. Iterations "
        "are evenly spaced in their logarithm; IQM over the `fitted` games with 95 % bootstrap interval. A game that "
        "stays away from an equilibrium is fitted too, with a slope near 0. If the gap falls faster than any power, "
        "the slope is only that of the last decade. `iterations_to_1e-3`: median, among the recorded iterations.\n\n"
        f"{markdown_table(join_intervals(table))}"
    )
    return _report("nash_gap", text, table, study, gap_figure(study, table))


def _games(study: xr.Dataset) -> str:
    """A description of the games; the numbers of agents come from the settings, or from the coordinate if they vary."""
    sizes = study.attrs
    agents = sizes.get("num_agents") or ", ".join(map(str, dict.fromkeys(study["agents"].values.tolist())))
    shape = (
        f"{agents} agents, {sizes['num_states']} states, {sizes['num_actions']} actions each, γ = {sizes['gamma']:g}"
    )
    return f"{study.sizes['game']} random games ({shape}, seed {sizes['seed']})"


def _report(name: str, text: str, table: pd.DataFrame, study: xr.Dataset, figure: Figure) -> Report:
    files = {
        f"{name}.md": text.encode(),
        f"{name}.csv": csv_text(table).encode(),
        f"{name}.nc.gz": netcdf_gz(study.astype("float32")),
    }
    return Report(files, {name: figure})
