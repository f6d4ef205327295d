"""Plots of the exact studies: moments, weights of the factor, improvement, Nash gaps."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter, SymmetricalLogLocator

from ltro_jax.analysis.statistics import Interval, iqm, iqm_interval
from ltro_jax.analysis.style import COLOURS, LINES, STYLE, legend
from ltro_jax.analysis.tables import interval_text
from ltro_jax.laboratories.games.tables import GAP_FLOOR

TITLES = {"gradient_step": "gradient steps", "trust_region_step": "trust-region steps"}
# Marker of each rule, and where the text of its parameter is relative to it, in points.
MARKERS = (("o", (4, 4)), ("s", (-15, -3)), ("^", (4, -9)), ("D", (4, 4)), ("v", (4, 4)), ("X", (4, 4)))
_SCATTERED = 1000  # most points of a rule in a panel; the tables count all
_LINEAR = 1e-4  # the axes of the improvement are linear between −_LINEAR and _LINEAR


def variance_figure(study: xr.Dataset) -> Figure:
    """Variances of the raw and the clamped weighted advantage and the bound: by position above, by N below.

    Args:
        study: as in `variance_table`; of its clamps, 1 and ∞ are drawn if it has them, otherwise all.
    Returns:
        A column of panels for each step size; interquartile means over games with 95 % bootstrap bars.
    """
    largest = int(study["agents"].max())
    rows = (
        (study["agents"] == largest, "position", f"position in the order, N = {largest}"),
        (study["position"] == study["agents"], "agents", "number of agents, last position"),
    )
    steps = study["kl_threshold"].values
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 2.9 * len(steps), 5.6), layout="constrained")
        grid = figure.subplots(2, len(steps), sharey=True, squeeze=False)
        for (places, count, xlabel), line in zip(rows, grid, strict=True):
            for kl, axes in zip(steps, line, strict=True):
                _draw_moments(axes, study.sel(kl_threshold=kl).isel(place=places.values), count)
                axes.set(xlabel=xlabel, title=f"KL < {kl:g}")
                axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        grid[0, 0].set_yscale("log")
        grid[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        grid[0, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        grid[0, 0].yaxis.set_minor_formatter(NullFormatter())
        figure.supylabel("in units of max A²", fontsize=10)
        legend(figure, columns=3)
    return figure


def _draw_moments(axes: Axes, part: xr.Dataset, count: str) -> None:
    """Variance of each clamp against the coordinate `count`, and the bound of each finite clamp, dashed."""
    chosen = [clip for clip in part["factor_clip"].values if clip in (1.0, np.inf)] or part["factor_clip"].values
    coloured = list(zip(chosen, cycle(COLOURS), strict=False))
    variances = [(clip, "variance", "-", colour) for clip, colour in coloured]
    bounds = [(clip, "bound", (0, (4, 2)), colour) for clip, colour in coloured if np.isfinite(clip)]
    for clip, name, dashes, colour in variances + bounds:
        of_clip = part.sel(factor_clip=clip)
        point, low, high = iqm_interval(of_clip[name].values)
        weight = f"min(R, {clip:g})" if np.isfinite(clip) else "R"
        label = f"bound on E[({weight}·A)²]" if name == "bound" else f"Var({weight}·A)"
        style = {"color": colour, "linestyle": dashes, "marker": "o", "ms": 4, "capsize": 2}
        axes.errorbar(of_clip[count], point, [point - low, high - point], label=label, **style)


def factor_rules_figure(study: xr.Dataset) -> Figure:
    """Absolute bias of the last position against its standard deviation, a panel for each number of agents.

    Args:
        study: as in `factor_rules_table`; its largest step size is drawn.
    Returns:
        A curve for each rule through its parameter values, whose text is beside each point; interquartile means over
        games.
    """
    last = study.sel(kl_threshold=study["kl_threshold"].values.max()).isel(
        place=(study["agents"] == study["position"]).values
    )
    panels: dict[str, Callable[[Axes], None]] = {
        f"N = {agents}": partial(_draw_trade_offs, part=last.isel(place=place))
        for place, agents in enumerate(last["agents"].values)
    }
    figure = _row(
        panels, xlabel="|bias| / max |A|", ylabel="standard deviation of w·A / max |A|", columns=6, sharey=False
    )
    figure.suptitle(f"last position, KL < {last['kl_threshold'].item():g}", fontsize=10)
    return figure


def _draw_trade_offs(axes: Axes, part: xr.Dataset) -> None:
    """A curve or point for each rule; the parameter of each point in small text."""
    bias, deviation = iqm(np.abs(part["bias"].values), axis=1), iqm(np.sqrt(part["variance"].values), axis=1)
    rules = part["rule"].values
    for rule, (dashes, colour), (marker, offset) in zip(dict.fromkeys(rules), LINES, MARKERS, strict=False):
        chosen = np.flatnonzero(rules == rule)
        chosen = chosen[np.argsort(part["parameter"].values[chosen])]
        axes.plot(bias[chosen], deviation[chosen], color=colour, linestyle=dashes, marker=marker, ms=5, label=str(rule))
        for index in chosen:
            value, at = part["parameter"].values[index], (bias[index], deviation[index])
            if np.isfinite(value):
                axes.annotate(f"{value:g}", at, offset, textcoords="offset points", fontsize=6, color=colour)
    axes.set_ylim(0.0, 1.08 * deviation.max())
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.08)  # room for the texts
    axes.axvline(0.0, color="0.6", linewidth=0.8)


def improvement_figure(study: xr.Dataset) -> Figure:
    """J(π') − J(π) of every update against its lower bound, a panel for each step size; no point is below the diagonal.

    Args:
        study: as in `improvement_table`.
    """
    panels: dict[str, Callable[[Axes], None]] = {
        f"KL < {kl}": partial(_draw_improvements, part=study.sel(kl_threshold=kl))
        for kl in study["kl_threshold"].values
    }
    figure = _row(panels, xlabel="lower bound", ylabel="J(π') − J(π)", columns=6)
    changes = study["improvement"].values
    low, high = 1.5 * min(changes.min(), -10 * _LINEAR), 1.5 * max(changes.max(), 10 * _LINEAR)
    figure.axes[0].set_ylim(low, high)
    return figure


def _draw_improvements(axes: Axes, part: xr.Dataset) -> None:
    """Updates of each rule as points, and the diagonal, on axes that are linear near 0."""
    for rule, colour in zip(part["rule"].values, cycle(COLOURS)):
        bound, change = (part[name].sel(rule=rule).values.ravel() for name in ("bound", "improvement"))
        every = -(-len(bound) // _SCATTERED)
        points = axes.plot(bound[::every], change[::every], ".", color=colour, alpha=0.35, ms=2.5)
        points[0].set_rasterized(True)
        axes.plot([], [], ".", ms=9, color=colour, label=str(rule))
    positive = np.geomspace(_LINEAR, 1e4, 50)
    diagonal = np.concatenate([-positive[::-1], [0.0], positive])
    axes.plot(diagonal, diagonal, color="0.2", linewidth=1.0, label="bound met exactly")
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.axvline(0.0, color="0.6", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=_LINEAR)
    axes.set_yscale("symlog", linthresh=_LINEAR)
    values = np.stack([part["bound"].values, part["improvement"].values])
    axes.set_xlim(1.5 * min(values.min(), -_LINEAR), 1.5 * max(values.max(), _LINEAR))
    for axis in (axes.xaxis, axes.yaxis):
        locator = SymmetricalLogLocator(base=100, linthresh=_LINEAR)
        locator.set_params(numticks=7)
        axis.set_major_locator(locator)


def gap_figure(study: xr.Dataset, table: pd.DataFrame) -> Figure:
    """Median Nash gap over games against iterations on log–log axes, and the fitted slopes; a panel for each step.

    Args:
        study: as in `gap_table`. Thin lines are the 90 % quantiles. A curve ends where it falls to `GAP_FLOOR`.
        table: `gap_table` of the study.
    """
    panels: dict[str, Callable[[Axes], None]] = {
        TITLES.get(str(kind), str(kind)): partial(
            _draw_gaps, gaps=study["gap"].sel(agent_update=kind), slopes=table.query("agent_update == @kind")
        )
        for kind in study["agent_update"].values
    }
    return _row(panels, xlabel="iteration", ylabel="Nash gap", columns=3, sharey=False)


def _draw_gaps(axes: Axes, gaps: xr.DataArray, slopes: pd.DataFrame) -> None:
    """Quantiles of the gap by rule, and the slope of each rule as text in the colour of its curve."""
    steps = gaps["iteration"].values
    styles = dict(zip(gaps["rule"].values, cycle(LINES), strict=False))
    for rule, (dashes, colour) in styles.items():
        for quantile, width, label in ((0.5, 1.8, str(rule)), (0.9, 0.8, None)):
            height = np.quantile(gaps.sel(rule=rule).values, quantile, axis=0)
            height[height <= GAP_FLOOR] = np.nan
            axes.plot(steps, height, color=colour, linestyle=dashes, linewidth=width, label=label)
    axes.plot([], [], color="0.4", linewidth=0.8, label="90 % quantile of the games")
    axes.set_xscale("log")
    axes.set_yscale("log")
    rows = [("fitted slopes", "0.15")]
    for rule, *ends in slopes[["rule", "slope", "slope_low", "slope_high"]].itertuples(index=False):
        rows.append((f"{rule}: {interval_text(Interval(*ends), '.2f')}", styles[rule][1]))
    for line, (text, colour) in enumerate(reversed(rows)):
        axes.text(0.03, 0.03 + 0.06 * line, text, color=colour, fontsize=8, transform=axes.transAxes)


def _row(
    panels: Mapping[str, Callable[[Axes], None]], *, xlabel: str, ylabel: str, columns: int, sharey: bool = True
) -> Figure:
    """Panels side by side, each drawn by its function, with one legend below."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 3.2 * len(panels), 4.0), layout="constrained")
        line = figure.subplots(1, len(panels), sharey=sharey, squeeze=False)[0]
        for (title, draw), axes in zip(panels.items(), line, strict=True):
            draw(axes)
            axes.set(xlabel=xlabel, title=title)
        line[0].set_ylabel(ylabel)
        legend(figure, columns=columns)
    return figure
