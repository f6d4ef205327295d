"""Compare algorithms over seeds and tasks: aggregates, performance profiles, probability of improvement, speed.

Each task is a stratum: its seeds are resampled separately. If any task has one seed, there is no interval, and its
bounds are NaN. As in `statistics`, a missing value is never skipped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ltro_jax.analysis.statistics import Array, Interval, bootstrap, iqm, pooled_iqm, wins


class Aggregates(NamedTuple):
    """Three estimates from the scores of an algorithm, each with its interval."""

    iqm: Interval
    mean: Interval
    median: Interval


class Reach(NamedTuple):
    """When a learning curve first reaches a threshold."""

    env_steps: float  # of the interquartile mean over seeds; NaN = never
    seeds: int  # seeds that ever reach it


def aggregates(tasks: Sequence[ArrayLike]) -> Aggregates:
    """Interquartile mean, mean and median of scores, with 95 % stratified bootstrap intervals.

    Args:
        tasks: K arrays `[S_k]`; for K > 1 normalised to one scale.
    Returns:
        The IQM pools all runs of all tasks. Mean and median are taken over the means of the tasks, the median of a
        single task over its seeds.
    Raises:
        ValueError: no task, or only NaN.
    Source: Agarwal et al. 2021, section 4 (arXiv 2108.13264).
    """

    def median(*parts: Array, axis: int) -> Array:
        return np.median(parts[0], axis) if len(parts) == 1 else np.median([part.mean(axis) for part in parts], axis=0)

    return Aggregates(*(_estimate(tasks, statistic) for statistic in (pooled_iqm, _mean, median)))


def curve_interval(values: ArrayLike) -> Interval:
    """IQM over seeds `[S, ...]` with its interval; the bounds of a single seed are NaN."""
    return _estimate([values], pooled_iqm)


def performance_profile(tasks: Sequence[ArrayLike], thresholds: ArrayLike) -> Interval:
    """Share of runs that score above each threshold, with a pointwise 95 % stratified bootstrap interval.

    Args:
        tasks: K arrays `[S_k]`; for K > 1 normalised to one scale. All tasks have the same weight.
        thresholds: `[T]`.
    Returns:
        Interval of `[T]` arrays in [0, 1].
    Raises:
        ValueError: no task, or a score is NaN.
    Source: Agarwal et al. 2021, section 4.2, run-score distributions (arXiv 2108.13264).
    """
    samples = [np.asarray(task, float) for task in tasks]
    if any(np.isnan(sample).any() for sample in samples):
        raise ValueError("a score is NaN, which is neither above nor below a threshold; leave that seed out")
    thresholds = np.asarray(thresholds, float)
    return _estimate([(sample[:, None] > thresholds).astype(float) for sample in samples], _mean)


def mean_probability_of_improvement(x: Sequence[ArrayLike], y: Sequence[ArrayLike]) -> Interval:
    """P(X > Y) + ½ P(X = Y) of two algorithms, averaged over tasks, with its 95 % stratified bootstrap interval.

    Args:
        x, y: K arrays `[S_k]` each, of the same tasks in the same order; the scale of a task does not matter.
    Returns:
        Interval of scalars in [0, 1]; 0.5 means no difference.
    Raises:
        ValueError: no task, different numbers of tasks, or only NaN.
    Source: Agarwal et al. 2021, section 4.3 (arXiv 2108.13264); Mann and Whitney 1947.
    """
    if len(x) != len(y):
        raise ValueError(f"the algorithms must have the same tasks; got {len(x)} and {len(y)}")

    def averaged(*parts: Array, axis: int) -> Array:
        return np.mean([wins(a, b, axis) for a, b in zip(parts[: len(x)], parts[len(x) :], strict=True)], axis=0)

    pairs = sum(np.size(a) * np.size(b) for a, b in zip(x, y, strict=True))
    return _estimate([*x, *y], averaged, pairs)


def normalised(scores: Mapping[str, Mapping[str, ArrayLike]]) -> dict[str, dict[str, Array]]:
    """Scores on a scale from 0, the lowest of any run on that task, to 1, the highest.

    Args:
        scores: label → task → `[S]`.
    Returns:
        The scores in [0, 1]; ½ on a task on which all runs have the same score.
    Source: Gorsane et al. 2022, section 4 (arXiv 2209.10485).
    """
    scaled: dict[str, dict[str, Array]] = {label: {} for label in scores}
    for task in dict.fromkeys(task for by_task in scores.values() for task in by_task):
        everyone = {label: np.asarray(by_task[task], float) for label, by_task in scores.items() if task in by_task}
        pooled = np.concatenate(list(everyone.values()))
        low, high = (bound(pooled) if np.isfinite(pooled).any() else np.nan for bound in (np.nanmin, np.nanmax))
        for label, values in everyone.items():
            scaled[label][task] = (
                (values - low) / (high - low) if high > low else np.where(np.isnan(values), values, 0.5)
            )
    return scaled


def held(values: ArrayLike) -> Array:
    """Fill gaps in `[S, E]` (no episode ended) with the previous value of the seed; leading gaps stay."""
    values = np.asarray(values, float)
    columns = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(columns, axis=1), axis=1)


def reach(values: ArrayLike, env_steps: ArrayLike, threshold: float) -> Reach:
    """Environment steps at which the IQM over seeds first reaches a threshold, and the number of seeds that ever do.

    Args:
        values: `[S, E]`.
        env_steps: `[E]`, increasing.
    """
    values, steps = np.asarray(values, float), np.asarray(env_steps, float)
    above = iqm(values) >= threshold
    return Reach(float(steps[np.argmax(above)]) if above.any() else np.nan, int((values >= threshold).any(1).sum()))


def _mean(*parts: Array, axis: int) -> Array:
    """Mean over tasks of the means over seeds."""
    return np.mean([part.mean(axis) for part in parts], axis=0)


def _estimate(tasks: Sequence[ArrayLike], statistic: Callable[..., Array], elements: int | None = None) -> Interval:
    """`bootstrap`, or the estimate alone if a task has one seed."""
    samples = [np.asarray(task, float) for task in tasks]
    if samples and min(map(len, samples)) == 1:
        missing = np.any([np.isnan(sample).any(0) for sample in samples], axis=0)
        point = np.where(missing, np.nan, statistic(*samples, axis=0))
        return Interval(point[()], *[np.full(point.shape, np.nan)[()]] * 2)
    return bootstrap(samples, statistic, elements or sum(sample.size for sample in samples))
