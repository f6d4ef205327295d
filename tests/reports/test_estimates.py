"""Comparisons over tasks: against the package rliable, by hand, and what one seed or a gap does."""

import json
from pathlib import Path

import numpy as np
import pytest

from ltro_jax.reports.estimates import (
    aggregates,
    curve_interval,
    held,
    mean_probability_of_improvement,
    normalised,
    performance_profile,
    reach,
)

RLIABLE = json.loads(Path(__file__).with_name("rliable_reference.json").read_text())
OF_RESAMPLING = 0.012  # two bootstraps, of 2,000 and 50,000 resamples, of intervals 0.1 to 0.25 wide


def assert_agrees(interval, expected) -> None:
    """Points exactly, bounds as far as resampling can tell."""
    np.testing.assert_allclose(interval.point, expected[0], rtol=1e-12)
    np.testing.assert_allclose([interval.low, interval.high], expected[1:], atol=OF_RESAMPLING)


@pytest.mark.parametrize("name", ["x", "y"])
def test_aggregates_are_those_of_rliable(name):
    for interval, expected in zip(aggregates(RLIABLE[name]), RLIABLE["aggregates"][name], strict=True):
        assert_agrees(interval, expected)


def test_probability_of_improvement_is_that_of_rliable():
    interval = mean_probability_of_improvement(RLIABLE["x"], RLIABLE["y"])
    np.testing.assert_allclose(interval.point, RLIABLE["probability_of_improvement"][0], rtol=1e-12)
    # The statistic moves in steps of up to 1/54.
    np.testing.assert_allclose([interval.low, interval.high], RLIABLE["probability_of_improvement"][1:], atol=0.02)


@pytest.mark.parametrize("name", ["x", "y"])
def test_performance_profiles_are_those_of_rliable(name):
    profile = performance_profile(RLIABLE[name], RLIABLE["thresholds"])
    expected = np.array(RLIABLE["profiles"][name])
    np.testing.assert_allclose(profile.point, expected[0], rtol=1e-12)
    one_run = 1 / np.size(RLIABLE[name])  # a share can only be off by whole runs
    np.testing.assert_allclose([profile.low, profile.high], expected[1:], atol=one_run + 1e-9)


def test_the_median_of_one_task_is_over_its_seeds():
    assert aggregates([[1.0, 2.0, 30.0]]).median.point == 2.0
    assert aggregates([[1.0, 2.0, 30.0], [0.0, 0.0], [5.0, 5.0]]).median.point == 5.0


def test_one_seed_has_no_interval():
    for interval in (
        aggregates([[3.0]]).iqm,
        aggregates([[3.0], [3.0, 3.0]]).mean,
        curve_interval([[3.0]]),
        mean_probability_of_improvement([[3.0]], [[3.0, 3.0]]),
    ):
        assert np.isnan(interval.low).all() and np.isnan(interval.high).all() and np.isfinite(interval.point).all()


def test_a_missing_score_is_not_skipped():
    assert np.isnan(aggregates([[1.0, np.nan, 2.0, 3.0, 4.0]]).iqm.point)
    assert np.isnan(aggregates([[np.nan], [1.0, 2.0, 3.0, 4.0, 5.0]]).iqm.point)
    with pytest.raises(ValueError, match="a score is NaN"):
        performance_profile([[1.0, np.nan]], [0.5])


def test_the_scale_of_a_task_does_not_matter_to_who_wins():
    x, y = RLIABLE["x"], RLIABLE["y"]
    stretched = [[1000.0 * score - 7.0 for score in task] for task in (x[0], y[0])]
    again = mean_probability_of_improvement([stretched[0], *x[1:]], [stretched[1], *y[1:]])
    np.testing.assert_array_equal(again, mean_probability_of_improvement(x, y))
    with pytest.raises(ValueError, match="the same tasks; got 3 and 2"):
        mean_probability_of_improvement(x, y[1:])


def test_scores_are_normalised_by_task():
    scores = normalised({"a": {"t": [0.0, 5.0], "u": [2.0]}, "b": {"t": [10.0, np.nan], "u": [2.0], "v": [np.nan]}})
    np.testing.assert_array_equal(scores["a"]["t"], [0.0, 0.5])
    np.testing.assert_array_equal(scores["b"]["t"], [1.0, np.nan])
    assert scores["a"]["u"] == scores["b"]["u"] == 0.5  # all alike
    assert np.isnan(scores["b"]["v"]).all()


def test_held():
    values = [[np.nan, 1.0, np.nan, np.nan, 4.0], [2.0, np.nan, 3.0, np.nan, np.nan]]
    np.testing.assert_array_equal(held(values), [[np.nan, 1, 1, 1, 4], [2, 2, 3, 3, 3]])


def test_reach():
    values = [[0.0, 2.0, 4.0, 3.0], [0.0, 0.0, 2.0, 3.0]]  # means 0, 1, 3, 3
    assert reach(values, [10, 20, 30, 40], 2.0) == (30.0, 2)
    assert reach(values, [10, 20, 30, 40], 1.0) == (20.0, 2)
    never = reach(values, [10, 20, 30, 40], 3.5)
    assert np.isnan(never.env_steps) and never.seeds == 1
