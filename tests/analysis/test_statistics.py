"""Statistics over seeds: hand arithmetic, known distributions, reductions, invariances, refusals."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

from ltro_jax.analysis.statistics import (
    area_under_curve,
    final_score,
    iqm,
    iqm_interval,
    probability_of_improvement,
    probability_of_improvement_interval,
    stratified_iqm_interval,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_iqm_by_hand():
    assert iqm([100.0, 1.0, 2.0, -50.0]) == 1.5  # one cut from each end
    assert iqm([8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == (3 + 4 + 5 + 6) / 4
    assert iqm([1.0, 2.0, 30.0]) == 11.0  # nothing to cut below four values


def test_iqm_axes():
    values = normal(8, 3)
    np.testing.assert_array_equal(iqm(values), [iqm(column) for column in values.T])
    np.testing.assert_array_equal(iqm(values.T, axis=1), iqm(values))
    assert iqm(values, axis=None) == iqm(values.ravel())


def test_a_diverged_seed_is_not_trimmed_away():
    values = normal(8, 3)
    values[2, 1] = np.nan
    interval = iqm_interval(values, num_resamples=50)
    for result in (iqm(values), *interval, probability_of_improvement(values, normal(5, 3))):
        np.testing.assert_array_equal(np.isnan(result), [False, True, False])
    np.testing.assert_array_equal(interval.point, iqm(values))


def test_interval_of_two_seeds_by_hand():
    """Resamples of {0, 1} have means 0, ½, 1 with probabilities ¼, ½, ¼."""
    assert iqm_interval([0.0, 1.0], confidence=0.95) == (0.5, 0.0, 1.0)
    assert iqm_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5, 0.5)


def test_interval_covers_the_truth():
    """300 studies of 20 normal seeds: the percentile interval is known to be slightly narrow."""
    _, low, high = iqm_interval(normal(20, 300), num_resamples=500)
    covered = np.mean((low <= 0) & (high >= 0))
    assert 0.86 <= covered <= 0.98


def test_interval_narrows_like_the_root_of_the_seeds():
    few, many = (iqm_interval(normal(seeds, 40), num_resamples=300) for seeds in (16, 256))
    np.testing.assert_allclose(np.mean(few.high - few.low) / np.mean(many.high - many.low), 4.0, rtol=0.2)


def test_equal_seeds_have_an_interval_of_no_width():
    assert iqm_interval(np.full(5, 3.0)) == (3.0, 3.0, 3.0)


def test_interval_keeps_the_remaining_axes():
    values = normal(6, 4, 2)
    interval = iqm_interval(values, num_resamples=100)
    assert all(field.shape == (4, 2) for field in interval)
    alone = iqm_interval(values[:, 3, 1], num_resamples=100)
    np.testing.assert_allclose([field[3, 1] for field in interval], alone, rtol=1e-12)


def test_batches_do_not_change_the_interval(monkeypatch):
    whole = iqm_interval(normal(6, 4), num_resamples=100)
    monkeypatch.setattr("ltro_jax.analysis.statistics._BATCH_ELEMENTS", 24 * 7)
    np.testing.assert_array_equal(iqm_interval(normal(6, 4), num_resamples=100), whole)


def test_order_of_seeds_does_not_matter():
    x, y = normal(7, 3), normal(5, 3, seed=1)
    for interval in (probability_of_improvement_interval, lambda *tasks: stratified_iqm_interval(tasks)):
        np.testing.assert_array_equal(interval(x, y), interval(x[::-1], y[::-1]))


def test_stratified_reduces_to_plain_for_one_task():
    values = normal(9, 2)
    np.testing.assert_array_equal(stratified_iqm_interval({"only": values}), iqm_interval(values))


def test_strata_remove_the_variance_between_tasks():
    easy, hard = np.full(4, 1.0), np.full(4, 0.0)
    assert stratified_iqm_interval({"easy": easy, "hard": hard}) == (0.5, 0.5, 0.5)
    assert np.ptp(iqm_interval(np.concatenate([easy, hard]))) > 0.5
    unequal = [normal(6), normal(9, seed=1)]
    assert stratified_iqm_interval(unequal).point == iqm(np.concatenate(unequal))


def test_probability_of_improvement_by_hand():
    assert probability_of_improvement([1.0, 3.0], [2.0, 3.0]) == (0 + 0 + 1 + 0.5) / 4
    assert probability_of_improvement([2.0, 3.0], [0.0, 1.0, 1.5]) == 1.0
    assert probability_of_improvement([1.0, 1.0], [1.0]) == 0.5


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    x, y = np.round(normal(12) + 0.3, 1), np.round(normal(9, seed=1), 1)
    found: Any = scipy.stats.mannwhitneyu(x, y)
    expected = found.statistic / (12 * 9)
    np.testing.assert_allclose(probability_of_improvement(x, y), expected)
    np.testing.assert_allclose(probability_of_improvement(x, y) + probability_of_improvement(y, x), 1.0)
    point, low, high = probability_of_improvement_interval(x, y)
    assert 0 <= low < point < high <= 1
    np.testing.assert_allclose(point, expected)


def test_final_score():
    values = np.array([[0.0, np.nan, 2.0, 4.0], [1.0, np.nan, 3.0, np.nan]])
    np.testing.assert_array_equal(final_score(values, last=2), [3.0, np.nan])
    np.testing.assert_array_equal(final_score(values[:, :3], last=2), [1.0, 2.0])
    with pytest.raises(ValueError, match="last = 4 of 3 evaluations"):
        final_score(values, last=4)


def test_area_under_curve():
    assert area_under_curve([[0.0, 1.0, 0.0]]) == 0.5
    values = [[0.0, np.nan, 3.0, 3.0], [1.0, np.nan, 1.0, 1.0]]
    np.testing.assert_allclose(area_under_curve(values, [0, 5, 10, 40]), [(15 + 90) / 40, 1.0])
    with pytest.raises(ValueError, match="at least 2 evaluations"):
        area_under_curve([[1.0]])


@pytest.mark.parametrize(
    "interval",
    [
        iqm_interval,
        lambda x: stratified_iqm_interval([x]),
        lambda x: probability_of_improvement_interval(x, x),
    ],
)
def test_refusals(interval):
    with pytest.raises(ValueError, match="at least 2 seeds; got 1: train with --seeds"):
        interval(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="every value is NaN"):
        interval(np.full((3, 5), np.nan))


def test_refusals_of_empty_and_unlike_input():
    for function in (iqm, final_score, area_under_curve):
        with pytest.raises(ValueError, match="every value is NaN"):
            function(np.full((3, 5), np.nan))
    with pytest.raises(ValueError, match="every value is NaN"):
        iqm([])
    with pytest.raises(ValueError, match="at least one task"):
        stratified_iqm_interval({})
    with pytest.raises(ValueError, match="shapes after the seed axis differ"):
        stratified_iqm_interval([np.zeros((3, 2)), np.zeros((3, 4))])
