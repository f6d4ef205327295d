"""Statistics over a few seeds: interquartile means, bootstrap intervals, scores of a learning curve.

The seed axis `S` is always first. Missing values (NaN) are never skipped, since a mean over the other seeds would hide
a diverged seed. NaN in any seed gives NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.integrate
import scipy.stats
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_INFINITE = 1e150  # replaces infinity while seeds are resampled: differences of infinities would be NaN
_INFINITE_ABOVE = 1e100  # above every finite value, and below every mean that includes `_INFINITE`
_BATCH_ELEMENTS = 2_000_000  # float64 values held at once while resampling: 16 MB


class Interval(NamedTuple):
    """An estimate and its confidence interval; the three fields have one shape."""

    point: Array
    low: Array
    high: Array


def iqm(values: ArrayLike, axis: int | None = 0) -> Array:
    """Interquartile mean: the mean after removing the ⌊S/4⌋ lowest and the ⌊S/4⌋ highest values.

    Args:
        values: `[S, ...]` float, one value per seed along `axis`.
        axis: the axis averaged over; None pools all values (tasks and seeds alike).
    Returns:
        `values.shape` without `axis`; the plain mean when S < 4; NaN where any value along `axis` is NaN.
    Raises:
        ValueError: there is no value, or every value is NaN.
    Source: Agarwal et al. 2021, section 4.3 (arXiv 2108.13264).
    """
    values = np.asarray(values, float)
    _require_values(values)
    missing = np.isnan(values)
    return np.where(missing.any(axis), np.nan, _trimmed_mean(np.where(missing, 0.0, values), axis))[()]


def iqm_interval(values: ArrayLike, *, confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0) -> Interval:
    """Interquartile mean over seeds with its percentile-bootstrap interval, for each remaining entry.

    Args:
        values: `[S, ...]` float, S ≥ 2.
        confidence: coverage of the interval, in (0, 1).
        num_resamples: bootstrap resamples of the seeds.
        seed: seed of the resampling; the order of the S seeds does not matter.
    Returns:
        Interval of `[...]` arrays; NaN where any seed is NaN. The intervals hold entry by entry, not jointly.
    Raises:
        ValueError: fewer than 2 seeds, or every value is NaN.
    Source: Agarwal et al. 2021, section 4.1 (arXiv 2108.13264).
    """
    return stratified_iqm_interval([values], confidence=confidence, num_resamples=num_resamples, seed=seed)


def repetition_band(values: ArrayLike, coverage: float = 0.99) -> tuple[float, float]:
    """Range of the interquartile mean of a repetition with S other seeds, with probability `coverage`.

        iqm ± t_{S−1} · √2 · s,   s the bootstrap standard error of the interquartile mean

    The factor √2 accounts for the variance of both the recorded mean and the repetition.

    Args:
        values: `[S]` float, one score per seed, S ≥ 2.
    Returns:
        low, high.
    Raises:
        ValueError: fewer than 2 seeds, or a value is NaN.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or np.isnan(values).any():
        raise ValueError(f"a band needs at least 2 seeds without NaN; got {values.tolist()}: train with --seeds 0:10")
    resampled = scipy.stats.bootstrap((np.sort(values),), _trimmed_mean, n_resamples=10_000, method="percentile", rng=0)
    quantile = scipy.stats.t.ppf(0.5 + coverage / 2, len(values) - 1)
    reach = float(quantile * np.sqrt(2.0) * resampled.standard_error)
    middle = float(_trimmed_mean(values, None))
    return middle - reach, middle + reach


def stratified_iqm_interval(
    tasks: Mapping[str, ArrayLike] | Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interquartile mean over all runs of all tasks; seeds are resampled within each task.

    Args:
        tasks: K arrays `[S_k, ...]`, S_k ≥ 2, normalised to one scale. A task with more seeds weighs more.
        confidence, num_resamples, seed: as in `iqm_interval`, which this is when K = 1.
    Returns:
        Interval of `[...]` arrays.
    Raises:
        ValueError: no task, a task with fewer than 2 seeds, trailing shapes that differ, or only NaN.
    Source: Agarwal et al. 2021, sections 4.1 and 4.3 (arXiv 2108.13264).
    """
    samples = [np.asarray(task, float) for task in (tasks.values() if isinstance(tasks, Mapping) else tasks)]
    elements = sum(sample.size for sample in samples)
    return bootstrap(samples, pooled_iqm, elements, confidence, num_resamples, seed)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> Array:
    """Probability that a run of x scores higher than a run of y.

        P(X > Y) + ½ P(X = Y)      (the Mann–Whitney U of x, divided by S_x S_y)

    Args:
        x: `[S_x, ...]` float.
        y: `[S_y, ...]` float.
    Returns:
        `[...]` in [0, 1]; 0.5 means no difference; NaN where any seed is NaN.
    Raises:
        ValueError: there is no value, or every value is NaN.
    Source: Agarwal et al. 2021, section 4.3 (arXiv 2108.13264); Mann and Whitney 1947.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    _require_values(x)
    _require_values(y)
    return wins(x, y)


def probability_of_improvement_interval(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> Interval:
    """`probability_of_improvement` with its percentile-bootstrap interval; x and y are resampled separately.

    Args:
        x: `[S_x, ...]` float, S_x ≥ 2.
        y: `[S_y, ...]` float, S_y ≥ 2.
        confidence, num_resamples, seed: as in `iqm_interval`.
    Returns:
        Interval of `[...]` arrays.
    Raises:
        ValueError: fewer than 2 seeds on either side, trailing shapes that differ, or only NaN.
    Source: Agarwal et al. 2021, section 4.3 (arXiv 2108.13264).
    """
    samples = [np.asarray(x, float), np.asarray(y, float)]
    elements = samples[0].size * len(np.atleast_1d(samples[1]))
    return bootstrap(samples, wins, elements, confidence, num_resamples, seed)


def final_score(values: ArrayLike, last: int = 10) -> Array:
    """Mean of the last evaluations of each seed.

    Args:
        values: `[S, E]` float; columns without any evaluation (all NaN) are dropped first.
        last: evaluations averaged, 1 ≤ last ≤ evaluations left.
    Returns:
        `[S]` float; NaN for a seed that lacks one of them.
    Raises:
        ValueError: no evaluation at all, or fewer than `last`.
    """
    values = np.asarray(values, float)
    values = values[:, _evaluated(values)]
    if not 1 <= last <= values.shape[1]:
        raise ValueError(f"last = {last} of {values.shape[1]} evaluations: choose a number from 1 to that")
    return values[:, -last:].mean(1)


def area_under_curve(values: ArrayLike, env_steps: ArrayLike | None = None) -> Array:
    """Mean height of each seed's learning curve: trapezoid rule divided by the span, in units of the score.

    Args:
        values: `[S, E]` float; columns without any evaluation (all NaN) are dropped first.
        env_steps: `[E]`, increasing; None spaces the E columns evenly.
    Returns:
        `[S]` float; NaN for a seed that lacks an evaluation others have.
    Raises:
        ValueError: fewer than 2 evaluations.
    """
    values = np.asarray(values, float)
    evaluated = _evaluated(values)
    steps = np.arange(values.shape[1]) if env_steps is None else np.asarray(env_steps)
    values, steps = values[:, evaluated], steps[evaluated]
    if len(steps) < 2:
        raise ValueError("an area needs at least 2 evaluations; got 1: evaluate more often")
    return scipy.integrate.trapezoid(values, steps, axis=1) / (steps[-1] - steps[0])


def pooled_iqm(*parts: Array, axis: int) -> Array:
    """Interquartile mean of the seeds of all parts together, along `axis`; the parts must not contain NaN."""
    return _trimmed_mean(np.concatenate(parts, axis), axis)


def _trimmed_mean(values: Array, axis: int | None) -> Array:
    return scipy.stats.trim_mean(values, 0.25, axis=axis)  # type: ignore[arg-type]


def wins(x: Array, y: Array, axis: int = 0) -> Array:
    """Share of pairs won by x, a tie counting half: seeds lie along `axis` of both."""
    x, y = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    return np.heaviside(x[:, None] - y[None, :], 0.5).mean((0, 1))


def bootstrap(
    samples: Sequence[Array],
    statistic: Callable[..., Array],
    elements: int,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of `statistic(*samples, axis)`, each sample resampled independently along axis 0.

    Args:
        samples: arrays `[S_k, ...]`, S_k ≥ 2, of one trailing shape.
        statistic: reduces the samples along `axis`, the axis of seeds.
        elements: memory of one resample, in float64 values.
        confidence, num_resamples, seed: as in `iqm_interval`.
    Returns:
        Interval of `[...]` arrays; NaN where any seed of any sample is NaN.
    Raises:
        ValueError: no sample, a sample with fewer than 2 seeds, trailing shapes that differ, or only NaN.
    Source: Agarwal et al. 2021, section 4.1 (arXiv 2108.13264).
    """
    if not samples:
        raise ValueError("an interval needs at least one task; got none")
    for sample in samples:
        num_seeds = len(np.atleast_1d(sample))
        if num_seeds < 2:
            raise ValueError(f"an interval needs at least 2 seeds; got {num_seeds}: train with --seeds 0:10")
        if sample.shape[1:] != samples[0].shape[1:]:
            raise ValueError(f"shapes after the seed axis differ: {samples[0].shape}, {sample.shape}")
        _require_values(sample)
    missing = np.any([np.isnan(sample).any(0) for sample in samples], axis=0)
    # Sorting the seeds of each entry keeps its distribution and makes the result independent of their order.
    samples = [np.where(missing, 0.0, np.sort(sample, axis=0)) for sample in samples]
    samples = [np.clip(sample, -_INFINITE, _INFINITE) for sample in samples]
    low, high = scipy.stats.bootstrap(
        samples,
        statistic,
        confidence_level=confidence,
        n_resamples=num_resamples,
        batch=int(np.clip(_BATCH_ELEMENTS // max(elements, 1), 1, num_resamples)),
        method="percentile",
        vectorized=True,
        rng=seed,
    ).confidence_interval
    point = statistic(*samples, axis=0)
    return Interval(*(np.where(missing, np.nan, _with_infinities(bound))[()] for bound in (point, low, high)))


def _with_infinities(values: Array) -> Array:
    """Values that include `_INFINITE` become infinite."""
    return np.where(np.abs(values) > _INFINITE_ABOVE, np.copysign(np.inf, values), values)


def _require_values(values: Array) -> None:
    if np.isnan(values).all():  # also true of an empty array
        raise ValueError("every value is NaN: choose a metric that was recorded, or evaluate during training")


def _evaluated(values: Array) -> NDArray[np.bool_]:
    """`[E]` columns of `[S, E]` where at least one seed has a value."""
    _require_values(values)
    return np.asarray(~np.isnan(values).all(0))
