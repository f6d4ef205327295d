"""Figures of the exact studies: moments against positions and agents, improvement against its bound, Nash gaps."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter, SymmetricalLogLocator

from ltro_jax.analysis.statistics import iqm_interval
from ltro_jax.analysis.style import COLOURS, LINES, STYLE, legend
from ltro_jax.laboratories.games.tables import GAP_FLOOR, gap_rows

TITLES = {"gradient_step": "gradient steps", "trust_region_step": "trust-region steps"}
_SCATTERED = 1000  # points of one rule in one panel, at most; the tables count all


def variance_figure(study: xr.Dataset) -> Figure:
    """Variances of the raw and the clamped weighted advantage and the bound: by position above, by N below.

    Args:
        study: as in `variance_rows`; of its clamps 1 and ∞ are drawn where they are there, else all.
    Returns:
        A column of panels for each step size; interquartile means over games with 95 % bootstrap bars.
    """
    chosen = [clip for clip in study["factor_clip"].values if clip in (1.0, np.inf)] or study["factor_clip"].values
    largest = int(study["agents"].max())
    rows = (
        (study["agents"] == largest, "position", f"position in the order, N = {largest}"),
        (study["position"] == study["agents"], "agents", "number of agents, last position"),
    )

    def draw(axes: Axes, kl: float, places: xr.DataArray, count: str) -> None:
        for clip, name, dashes, colour in _moments(chosen):
            part = study.sel(kl_threshold=kl, factor_clip=clip).isel(place=places.values)
            point, low, high = iqm_interval(part[name].values)
            label = f"bound on E[({_weight(clip)}·A)²]" if name == "bound" else f"Var({_weight(clip)}·A)"
            bars = [point - low, high - point]
            axes.errorbar(
                part[count], point, bars, color=colour, linestyle=dashes, marker="o", ms=4, capsize=2, label=label
            )

    steps = study["kl_threshold"].values
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 2.9 * len(steps), 5.6), layout="constrained")
        grid = figure.subplots(2, len(steps), sharey=True, squeeze=False)
        for (places, count, xlabel), line in zip(rows, grid, strict=True):
            for kl, axes in zip(steps, line, strict=True):
                draw(axes, kl, places, count)
                axes.set(xlabel=xlabel, title=f"KL < {kl:g}")
                axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        grid[0, 0].set_yscale("log")
        grid[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        grid[0, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        grid[0, 0].yaxis.set_minor_formatter(NullFormatter())
        figure.supylabel("in units of max A²", fontsize=10)
        legend(figure, columns=3)
    return figure


def improvement_figure(study: xr.Dataset) -> Figure:
    """J(π') − J(π) of every update against its lower bound, a panel for each step size; nothing may lie below the line.

    Args:
        study: as in `improvement_rows`.
    """
    threshold = 1e-4  # axes are linear between −threshold and threshold

    def draw(axes: Axes, kl: float) -> None:
        spread = [np.inf, -np.inf]
        for rule, colour in zip(study["rule"].values, cycle(COLOURS)):
            part = study.sel(rule=rule, kl_threshold=kl)
            bound, change = part["bound"].values.ravel(), part["improvement"].values.ravel()
            every = -(-len(bound) // _SCATTERED)
            marks: dict[str, Any] = {"color": colour, "alpha": 0.35, "rasterized": True, "linestyle": "none"}
            axes.plot(bound[::every], change[::every], marker=".", ms=2.5, **marks)
            axes.plot([], [], marker=".", ms=9, color=colour, linestyle="none", label=str(rule))
            spread = [min(spread[0], bound.min(), change.min()), max(spread[1], bound.max(), change.max())]
        reach = np.concatenate([-np.geomspace(1e4, threshold, 50), [0.0], np.geomspace(threshold, 1e4, 50)])
        axes.plot(reach, reach, color="0.2", linewidth=1.0, label="bound met exactly")
        axes.axhline(0.0, color="0.6", linewidth=0.8)
        axes.axvline(0.0, color="0.6", linewidth=0.8)
        axes.set_xscale("symlog", linthresh=threshold)
        axes.set_yscale("symlog", linthresh=threshold)
        axes.set_xlim(1.5 * min(spread[0], -threshold), 1.5 * max(spread[1], threshold))
        for axis in (axes.xaxis, axes.yaxis):
            locator = SymmetricalLogLocator(base=100, linthresh=threshold)
            locator.set_params(numticks=7)
            axis.set_major_locator(locator)

    changes = study["improvement"].values
    panels: Mapping[str, Callable[[Axes], None]] = {
        f"KL < {kl}": lambda axes, kl=kl: draw(axes, kl) for kl in study["kl_threshold"].values
    }
    figure = _row(panels, xlabel="lower bound", ylabel="J(π') − J(π)", columns=6)
    low, high = 1.5 * min(changes.min(), -10 * threshold), 1.5 * max(changes.max(), 10 * threshold)
    figure.axes[0].set_ylim(low, high)
    return figure


def gap_figure(study: xr.Dataset) -> Figure:
    """Median Nash gap over games against iterations on log–log axes, and the fitted slopes; a panel for each step.

    Args:
        study: as in `gap_rows`. Thin lines are the 90 % quantiles. A curve ends where it falls to `GAP_FLOOR`.
    """

    def draw(axes: Axes, kind: str) -> None:
        steps = study["iteration"].values
        for rule, (dashes, colour) in zip(study["rule"].values, cycle(LINES), strict=False):
            gap = study["gap"].sel(agent_update=kind, rule=rule).values
            for quantile, width, label in ((0.5, 1.8, str(rule)), (0.9, 0.8, None)):
                height = np.quantile(gap, quantile, axis=0)
                axes.plot(
                    steps,
                    np.where(height > GAP_FLOOR, height, np.nan),
                    color=colour,
                    linestyle=dashes,
                    linewidth=width,
                    label=label,
                )
        axes.plot([], [], color="0.4", linewidth=0.8, label="90 % quantile of the games")
        axes.set_xscale("log")
        axes.set_yscale("log")
        slopes = [row for row in rows if row["agent_update"] == kind]
        for line, (row, (_, colour)) in enumerate(zip(reversed(slopes), reversed(LINES[: len(slopes)]), strict=False)):
            text = f"{row['rule']}: {row['slope']:.2f} [{row['slope_low']:.2f}, {row['slope_high']:.2f}]"
            axes.text(0.03, 0.03 + 0.06 * line, text, color=colour, fontsize=8, transform=axes.transAxes)
        axes.text(0.03, 0.03 + 0.06 * len(slopes), "fitted slopes", color="0.15", fontsize=8, transform=axes.transAxes)

    rows = gap_rows(study)
    panels: Mapping[str, Callable[[Axes], None]] = {
        TITLES.get(str(kind), str(kind)): lambda axes, kind=kind: draw(axes, kind)
        for kind in study["agent_update"].values
    }
    return _row(panels, xlabel="iteration", ylabel="Nash gap", columns=3, sharey=False)


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


def _moments(clips: Any) -> list[tuple[float, str, Any, str]]:
    """What is drawn of each clamp and how: its variance, and dashed the bound where there is one."""
    coloured = list(zip(clips, cycle(COLOURS), strict=False))
    bounds = [(clip, "bound", (0, (4, 2)), colour) for clip, colour in coloured if np.isfinite(clip)]
    return [(clip, "variance", "-", colour) for clip, colour in coloured] + bounds


def _weight(clip: float) -> str:
    return f"min(R, {clip:g})" if np.isfinite(clip) else "R"
