"""Rates at which a gap falls: slopes on logarithmic axes."""

import numpy as np
from numpy.typing import ArrayLike

from ltro_jax.analysis.statistics import Array


def log_spaced(last: int, per_decade: int = 10) -> np.ndarray:
    """Iterations 1..last, evenly spaced in their logarithm, each once; `[P]` int, increasing."""
    count = 1 + int(np.ceil(np.log10(last) * per_decade))
    return np.unique(np.rint(np.geomspace(1, last, count)).astype(int))


def power_law_slopes(iterations: ArrayLike, gap: ArrayLike, floor: float, least_points: int = 5) -> Array:
    """Slope of log gap against log iteration, least squares for each game over its last decade above the floor.

        gap ≈ a · k^slope   for k in [e / 10, e],  e = the last iteration before the gap first is ≤ floor

    A game that never reaches the floor is fitted up to the end. Values after the floor is reached are rounding errors
    and are not used, even if they are above the floor. A power law is a straight line on these axes; if the gap falls
    faster, the slope is that of a line fitted to a curve.

    Args:
        iterations: `[P]`, ≥ 1, increasing.
        gap: `[G, P]`, ≥ 0, one row for each game.
        floor: the largest gap that counts as zero, > 0.
        least_points: fewest points of a slope.
    Returns:
        `[G]`; NaN where a game has too few points above the floor.
    Raises:
        ValueError: iterations are not ≥ 1 and increasing.
    """
    steps, gap = np.asarray(iterations, float), np.asarray(gap, float)
    if not (steps[0] >= 1 and np.all(np.diff(steps) > 0)):
        raise ValueError("iterations must be increasing and at least 1")
    above = np.logical_and.accumulate(gap > floor, axis=1)
    end = np.max(np.where(above, steps, 0.0), axis=1, keepdims=True)
    window = above & (steps >= end / 10)
    count = window.sum(1)
    x, y = np.log(steps), np.log(np.where(window, gap, 1.0))
    weight = window / np.maximum(count, 1)[:, None]
    centred = np.where(window, x - (weight @ x)[:, None], 0.0)
    spread = np.sum(centred**2, axis=1)
    slope = np.sum(centred * y, axis=1) / np.where(spread > 0, spread, 1.0)
    return np.where((count >= least_points) & (spread > 0), slope, np.nan)
