"""Plots of runs: learning curves and per-position curves with bootstrap bands.

Figures are built as objects, without pyplot: importing or drawing changes neither the backend nor the global style.
"""

import io
import math
import os
from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike

from ltro_jax.analysis.statistics import iqm, iqm_interval
from ltro_jax.analysis.style import LINES, STYLE, legend
from ltro_jax.process.files import replacing

_BASELINE_DASHES = ((0, (6, 3)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 2)))
FORMATS = (".png", ".pdf")
_MAX_SEED_LINES = 16
_MAX_COLUMNS = 4
Line = tuple[Any, str]  # dashes and colour


def learning_curves(
    curves: Mapping[str, xr.DataArray],
    *,
    ylabel: str,
    title: str,
    window: int = 1,
    baseline: Mapping[str, float] | None = None,
    show_seeds: bool = True,
    failed: Mapping[str, xr.DataArray] | None = None,
    lines: Mapping[str, Line] | None = None,
) -> Figure:
    """Interquartile mean over seeds of each curve, with its 95 % bootstrap band.

    Args:
        curves: name → dims (member, iteration), coordinate `env_steps` along iteration. Iterations without
            any evaluation (all NaN) are dropped; where only some members have a value the line has a gap.
        ylabel: the quantity and its unit.
        title: one line above the axes.
        window: iterations with a value in a trailing mean of each member; a line begins when its window is full.
        baseline: name → height of a dashed horizontal line (a random policy, a known optimum).
        show_seeds: draw each member faintly, up to 16 of them.
        failed: name → members that are in no mean, dims as above: faint, with a cross at the last value of each.
        lines: name → dashes and colour, for the same style in several plots; by default in the order of the curves.
    Returns:
        A plot; a curve with one member has no band.
    Raises:
        ValueError: no curve, other dims, no `env_steps`, or a curve without any value.
    Source: Agarwal et al. 2021 (arXiv 2108.13264) for the mean and the band.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        lines = lines or default_lines(curves)
        for name, curve in _prepared(curves, window=window).items():
            dashes, colour = lines[name]
            if show_seeds and 1 < curve.sizes["member"] <= _MAX_SEED_LINES:
                axes.plot(curve.env_steps, curve.T, color=colour, linewidth=0.6, alpha=0.3)
            _draw(axes, curve, _label(name, curve), dashes, colour)
        for name, curve in (failed or {}).items():
            _draw_failed(axes, curve.transpose("member", "iteration"), lines[name][1])
        for (name, height), dashes in zip((baseline or {}).items(), cycle(_BASELINE_DASHES), strict=False):
            axes.axhline(height, color="0.35", linewidth=1.2, linestyle=dashes, label=name)
        axes.set(ylabel=ylabel, title=title)
        _steps_axis(axes)
        legend(figure, columns=3)
    return figure


def position_curves(
    data: Mapping[str, xr.DataArray],
    *,
    ylabel: str,
    title: str,
    log: bool = False,
    window: int = 1,
    lines: Mapping[str, Line] | None = None,
    panels: str = "position",
) -> Figure:
    """One panel per position in the agent order, or per agent, at most four in a row, on shared axes.

    Args:
        data: name → dims (member, iteration, position), coordinate `env_steps` along iteration; NaN as in
            `learning_curves`. All entries have the same number of positions.
        ylabel: the quantity and its unit.
        title: one line above the panels.
        log: logarithmic y axis.
        window, lines: as in `learning_curves`.
        panels: "position", or "agent" for that dimension in its place.
    Returns:
        A plot with interquartile means over members and, for two or more members, 95 % bootstrap bands.
    Raises:
        ValueError: as `learning_curves`, position counts that differ, or a window longer than the data.
    """
    prepared = _prepared(data, extra=(panels,), window=window)
    counts = {curve.sizes[panels] for curve in prepared.values()}
    if len(counts) > 1:
        raise ValueError(f"{panels} counts differ: {sorted(counts)}; draw these tasks in separate plots")
    lines = lines or default_lines(data)
    names = next(iter(prepared.values()))[panels].values
    titles = [f"position {name + 1}" if panels == "position" else str(name) for name in names]
    columns = min(len(titles), _MAX_COLUMNS)
    rows = math.ceil(len(titles) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(1.2 + 2.4 * columns, 5.0), 1.4 + 2.0 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for index, (panel_title, axes) in enumerate(zip(titles, grid.flat, strict=False)):
            for name, curve in prepared.items():
                _draw(axes, curve.isel({panels: index}), _label(name, curve), *lines[name])
            axes.set_title(panel_title)
            _steps_axis(axes, labelled=index + columns >= len(titles))
        for axes in grid.flat[len(titles) :]:
            axes.set_axis_off()
        if log:
            _log_axis(grid[0, 0])
        figure.suptitle(title)
        figure.supylabel(ylabel, fontsize=10)
        legend(figure, columns=max(columns, 2))
    return figure


def count_curves(
    data: Mapping[str, tuple[ArrayLike, ArrayLike]], *, xlabel: str, ylabel: str, title: str, log: bool = True
) -> Figure:
    """Interquartile mean over seeds against a count (of agents, of a position), with 95 % bootstrap bars.

    Args:
        data: name → (counts `[P]`, values `[S, P]`), S ≥ 2 seeds.
        xlabel, ylabel, title: texts.
        log: logarithmic y axis.
    Raises:
        ValueError: no curve, or one seed.
    """
    if not data:
        raise ValueError("nothing to draw: give at least one named curve")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for (name, (counts, values)), (dashes, colour) in zip(data.items(), cycle(LINES), strict=False):
            interval = iqm_interval(values)
            with np.errstate(invalid="ignore"):  # an infinite value is left out, and an infinite end of a bar
                bars = np.array([interval.point - interval.low, interval.high - interval.point])
            bars[~np.isfinite(bars)] = 0.0
            axes.errorbar(
                np.asarray(counts),
                interval.point,
                bars,
                color=colour,
                linestyle=dashes,
                marker="o",
                capsize=3,
                label=name,
            )
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log:
            _log_axis(axes)
        legend(figure, columns=2)
    return figure


def default_lines(names: Iterable[str]) -> dict[str, Line]:
    """Name → dashes and colour, in the order of `LINES`."""
    return dict(zip(names, cycle(LINES), strict=False))


def svg(figure: Figure) -> bytes:
    """A plot as SVG with its letters as shapes, so that it needs no font; always the same bytes."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "ltro_jax"}):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format of its suffix (`.png`, `.pdf`), whole or not at all, with the same bytes each time.

    Args:
        figure: as returned by the functions above.
        path: target file; missing parent directories are created.
    Returns:
        The path written.
    Raises:
        ValueError: the suffix is neither `.png` nor `.pdf`.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"a figure is saved as {' or '.join(FORMATS)}; got {path.name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
    with matplotlib.rc_context(STYLE), replacing(path, durable=False) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=metadata)
    return path


def _prepared(
    curves: Mapping[str, xr.DataArray], *, extra: tuple[str, ...] = (), window: int = 1
) -> dict[str, xr.DataArray]:
    """Curves in (member, iteration, *extra) order: iterations without a value are dropped, the others smoothed."""
    if not curves:
        raise ValueError("nothing to draw: give at least one named curve")
    dims = ("member", "iteration", *extra)
    prepared = {}
    for name, curve in curves.items():
        if set(curve.dims) != set(dims) or "env_steps" not in curve.coords:
            raise ValueError(f"{name!r} needs dims {dims} and coordinate 'env_steps'; got dims {curve.dims}")
        curve = curve.transpose(*dims).astype(float).dropna("iteration", how="all")
        if curve.size == 0:
            raise ValueError(f"{name!r} has no value to draw: choose a metric that was recorded")
        if not 1 <= window <= curve.sizes["iteration"]:
            raise ValueError(f"window = {window} does not fit {name!r} with {curve.sizes['iteration']} iterations")
        prepared[name] = curve.rolling(iteration=window).mean().isel(iteration=slice(window - 1, None))
    return prepared


def _draw(axes: Axes, curve: xr.DataArray, label: str, dashes: object, colour: str) -> None:
    """Line of interquartile means and, for two or more members, the band around it."""
    steps, values = curve.env_steps.values, curve.values
    if np.isnan(values).all():
        return  # nothing was recorded at this position: its panel stays without this line
    marker = "o" if len(steps) == 1 else None
    axes.plot(steps, iqm(values), color=colour, linestyle=dashes, marker=marker, label=label)
    if len(values) > 1:
        _, low, high = iqm_interval(values)
        axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)


def _draw_failed(axes: Axes, curve: xr.DataArray, colour: str) -> None:
    """Values of members before they became non-finite."""
    for values in curve.values:
        recorded = np.flatnonzero(~np.isnan(values))
        if recorded.size:
            steps = curve.env_steps.values[recorded]
            axes.plot(steps, values[recorded], color=colour, linewidth=0.6, alpha=0.5)
            axes.plot(steps[-1], values[recorded[-1]], "X", color=colour, markersize=8, markeredgecolor="white")
    if curve.size:
        axes.plot([], [], "X", color="0.35", linestyle="none", label="became non-finite")


def _steps_axis(axes: Axes, labelled: bool = True) -> None:
    """Environment steps as 500k, 2M; only the lowest panel of a column carries labels."""
    axes.xaxis.set_major_formatter(EngFormatter(sep="", useMathText=False))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_tick_params(labelbottom=labelled)
    axes.set_xlabel("environment steps" if labelled else "")


def _log_axis(axes: Axes) -> None:
    """Logarithmic y with plain numbers, as many as the drawn range can carry; shared axes follow."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 5:
        locator = MaxNLocator(5)
    else:
        locator = LogLocator(subs=(1, 2, 5) if high / low < 1000 else (1,))
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _label(name: str, curve: xr.DataArray) -> str:
    num_members = curve.sizes["member"]
    return f"{name} ({num_members} {'seed' if num_members == 1 else 'seeds'})"
