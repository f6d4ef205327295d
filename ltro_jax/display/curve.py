"""Small learning curves as inline SVG."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ltro_jax.analysis.statistics import iqm
from ltro_jax.display.html import ACCENT, Html, escaped

COLOURS = (ACCENT, "#e0701c", "#1fa574", "#c46aa3", "#b8860b", "#8a7be0")  # readable on white and on black
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 170, 62, 10, 8, 34  # pixels
MAX_POINTS = 200  # more are narrower than a line


class Curve(NamedTuple):
    """A metric over training, over the healthy members; all arrays are `[E]`."""

    name: str
    steps: np.ndarray  # environment steps of each member
    middle: np.ndarray  # interquartile mean
    low: np.ndarray  # quartiles
    high: np.ndarray


NO_CURVE = Curve("", *[np.empty(0)] * 4)


def member_bands(values: np.ndarray) -> np.ndarray:
    """Interquartile mean and the two quartiles over the finite values of each column, `[S, E]` → `[3, E]`.

    A column without a finite value gives NaN.
    """
    bands = np.full((3, values.shape[1]), np.nan)
    finite = np.isfinite(values)
    if finite.all():  # the usual case, which needs no search for equal columns
        masks, group = np.ones((len(values), 1), bool), np.zeros(values.shape[1], int)
    else:  # members freeze one after another: few different masks
        masks, group = np.unique(finite, axis=1, return_inverse=True)
    for index, mask in enumerate(masks.T):
        columns = np.ravel(group) == index
        if mask.any() and columns.any():
            healthy = values[mask][:, columns].astype(float)
            bands[:, columns] = iqm(healthy), *np.quantile(healthy, (0.25, 0.75), axis=0)
    return bands


def make_curve(name: str, steps: np.ndarray, values: np.ndarray) -> Curve:
    """The curve of `values` `[S, E]`, recorded at `steps` `[E]`; at most 200 evenly spaced points are kept.

    Points without a finite value are left out.
    """
    recorded = _spread(np.flatnonzero(np.isfinite(values).any(0)))
    return Curve(name, np.asarray(steps, float)[recorded], *member_bands(values[:, recorded]))


def joined(first: Curve, second: Curve) -> Curve:
    """The points of both, under the name of the second."""
    return Curve(second.name, *(np.concatenate(pair) for pair in zip(first[1:], second[1:], strict=True)))


def _spread(points: np.ndarray) -> np.ndarray:
    """At most 200 of the points, evenly spaced, the first and the last among them."""
    if len(points) <= MAX_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int)]


def curve_svg(curves: Sequence[Curve], metric: str) -> Html:
    """The curves on common axes, a line with its quartile band each; empty where no curve has two points.

    Args:
        curves: at most six are drawn, each with its name if there are several.
        metric: the words for the vertical axis.
    """
    drawn = [Curve(curve.name, *map(_spread, curve[1:])) for curve in curves if curve.steps.size > 1][: len(COLOURS)]
    if not drawn:
        return Html("")
    lowest, highest = (
        edge(edge(getattr(curve, side)) for curve in drawn) for edge, side in ((min, "low"), (max, "high"))
    )
    first, last = min(curve.steps[0] for curve in drawn), max(curve.steps[-1] for curve in drawn)

    def points(steps: np.ndarray, values: np.ndarray) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (steps - first) / ((last - first) or 1.0)
        y = TOP + (HEIGHT - TOP - BOTTOM) * (highest - values) / ((highest - lowest) or 1.0)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

    def text(x: float, y: float, words: str, anchor: str, colour: str = "currentColor") -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-size="11">{escaped(words)}</text>'

    parts = [
        f'<path d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.5"/>',
        text(LEFT - 4, TOP + 9, f"{highest:.4g}", "end"),
        text(LEFT - 4, HEIGHT - BOTTOM, f"{lowest:.4g}", "end"),
        text(LEFT, HEIGHT - BOTTOM + 13, f"{first:,.0f}", "start"),
        text(WIDTH - RIGHT, HEIGHT - BOTTOM + 13, f"{last:,.0f} env steps", "end"),
        text(LEFT, HEIGHT - 5, f"{metric}, IQM and quartiles", "start"),
    ]
    for row, (curve, colour) in enumerate(zip(drawn, COLOURS, strict=False)):
        band = points(np.concatenate([curve.steps, curve.steps[::-1]]), np.concatenate([curve.high, curve.low[::-1]]))
        parts.append(f'<polygon points="{band}" fill="{colour}" fill-opacity="0.2"/>')
        line = points(curve.steps, curve.middle)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(drawn) > 1:
            parts.append(
                text(WIDTH - RIGHT, HEIGHT - BOTTOM - 6 - 13 * (len(drawn) - 1 - row), curve.name, "end", colour)
            )
    label = escaped(f"{metric} over {last:,.0f} environment steps; the last value is {drawn[0].middle[-1]:.4g}")
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" style="max-width:100%">{"".join(parts)}</svg>'
    )
