"""Plots that compare algorithms by their scores: performance profiles and probabilities of improvement."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import Line
from ltro_jax.analysis.statistics import Array, Interval
from ltro_jax.analysis.style import COLOURS, STYLE, legend
from ltro_jax.reports.estimates import performance_profile

_MAX_COLUMNS = 3


class Pair(NamedTuple):
    """The probability that a run of x scores higher than a run of y."""

    x: str
    y: str
    probability: Interval


def profile_figure(
    panels: Mapping[str, Mapping[str, Sequence[Array]]], *, xlabel: str, title: str, lines: Mapping[str, Line]
) -> Figure:
    """Plot the share of runs above each score, with pointwise 95 % bands; one panel for each set of scores.

    Args:
        panels: title → label → scores `[S_k]` of each task; several tasks must have a common scale.
        xlabel, title: texts.
        lines: label → dashes and colour.
    Raises:
        ValueError: as `performance_profile`.
    """
    columns = min(len(panels), _MAX_COLUMNS)
    rows = math.ceil(len(panels) / columns)
    size = (6.4, 4.2) if len(panels) == 1 else (1.0 + 3.4 * columns, 1.4 + 2.6 * rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for (name, curves), axes in zip(panels.items(), grid.flat, strict=False):
            scores = np.unique([score for tasks in curves.values() for task in tasks for score in task])
            margin = 0.03 * np.ptp(scores) or 1.0
            steps = np.array([scores[0] - margin, *scores, scores[-1] + margin])  # constant in between
            for label, tasks in curves.items():
                dashes, colour = lines[label]
                above = performance_profile(tasks, steps)
                axes.step(steps, above.point, where="post", color=colour, linestyle=dashes, label=label)
                axes.fill_between(steps, above.low, above.high, step="post", color=colour, alpha=0.15, linewidth=0)
            axes.set_title(name if len(panels) > 1 else title)
            axes.set_xlabel(xlabel)
        for axes in grid[:, 0]:
            axes.set_ylabel("share of runs above it")
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        if len(panels) > 1:
            figure.suptitle(title)
        legend(figure, columns=3)
    return figure


def improvement_figure(pairs: Sequence[Pair], *, title: str) -> Figure:
    """Plot P(X > Y) of each pair with its 95 % interval; X is on the left and Y on the right.

    Raises:
        ValueError: no pair.
    """
    if not pairs:
        raise ValueError("nothing to draw: an improvement needs two algorithms")
    height = np.arange(len(pairs))[::-1]
    width = max(6.4, 3.2 + 0.16 * max(len(name) for pair in pairs for name in (pair.x, pair.y)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 1.5 + 0.38 * len(pairs)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0.5, color="0.35", linewidth=1.2, linestyle=(0, (5, 3)))
        for pair, y in zip(pairs, height, strict=True):
            point, low, high = pair.probability
            axes.plot([low, high], [y, y], color=COLOURS[0], linewidth=7, alpha=0.3, solid_capstyle="butt")
            axes.plot(point, y, "o", color=COLOURS[0], markersize=7)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.7, len(pairs) - 0.3), xlabel="P(X > Y)", title=title)
        axes.set_yticks(height, [pair.x for pair in pairs])
        right = axes.secondary_yaxis("right")
        right.set_yticks(height, [pair.y for pair in pairs])
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        for name, place, side in (("X", -0.02, "right"), ("Y", 1.02, "left")):
            axes.text(place, 1.02, name, weight="bold", horizontalalignment=side, transform=axes.transAxes)
        axes.grid(axis="y", visible=False)
    return figure
