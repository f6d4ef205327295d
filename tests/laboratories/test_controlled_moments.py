"""Moments of the factor by hand, and how agreement is counted."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.container import ErrorbarContainer

from ltro_jax.laboratories.controlled.moments import agreement, agreement_figure, second_moments, weighted_variances


def test_second_moments_by_hand():
    """Two situations; R is 1/2 or 3/2 by a fair coin in one and 1 in the other: E[R²] = 9/8, E[R⁴] = (41/16 + 1)/2."""
    second, fourth = np.log([[1.25], [1.0]]), np.log([[41 / 16], [1.0]])
    draws = np.log(np.repeat([0.5, 1.5, 1.0, 1.0], 25))[:, None]
    found = second_moments(second, fourth, draws)
    assert found["exact"] == pytest.approx(9 / 8) and found["estimate"] == pytest.approx(9 / 8)
    variance = (41 / 16 + 1) / 2 - (9 / 8) ** 2
    assert found["exact_error"] == pytest.approx(np.sqrt(variance / 100))
    assert found["standard_error"] == pytest.approx(np.sqrt(variance / 99))
    assert found["draws_needed"] == pytest.approx(100 * variance / (9 / 8) ** 2)


def test_a_moment_that_does_not_exist_is_infinite():
    found = second_moments(np.log([[1.5]]), np.array([[np.inf]]), np.zeros((4, 1)))
    assert found["exact"] == pytest.approx(1.5)
    assert np.isinf(found["exact_error"]) and np.isinf(found["draws_needed"])


def test_log_normal_factors_need_p_to_the_fourth_draws():
    """log R ~ N(−v/2, v): E[R²] = p = eᵛ, and the relative variance of R² is p⁴ − 1."""
    v = np.log(3.0)
    found = second_moments(np.full((1, 1), v), np.full((1, 1), 6 * v), np.zeros((9, 1)))
    assert found["draws_needed"] == pytest.approx(100 * (3.0**4 - 1))


def test_weighted_variances_by_hand():
    """One situation, two equally likely actions with advantages ± 2 (unit: 2) and factors 1/2 and 3/2 at position 2."""
    log_joint, advantage = np.log([[0.5, 0.5]]), np.array([[2.0, -2.0]])
    log_factor = np.log([[[1.0, 0.5, 9.0], [1.0, 1.5, 9.0]]])  # the last column, after all agents, weights nobody
    situation, action = np.zeros(6, int), np.array([0, 1, 0, 1, 0, 1])
    raw = weighted_variances(log_joint, log_factor, advantage, situation, action, np.inf)
    np.testing.assert_allclose(raw["exact"], [1.0, 1.0])  # (0.5² + 1.5²)/2 − 0.5²
    np.testing.assert_allclose(raw["estimate"], [1.2, 1.2])  # ddof 1
    clipped = weighted_variances(log_joint, log_factor, advantage, situation, action, 1.0)
    np.testing.assert_allclose(clipped["exact"], [1.0, (0.25 + 1) / 2 - 0.0625])
    with pytest.raises(ValueError, match="the advantage of every action is 0"):
        weighted_variances(log_joint, log_factor, 0 * advantage, situation, action, 1.0)


def test_agreement_is_counted_by_the_size_of_the_truth():
    def row(exact, estimate, error):
        return {"exact": exact, "estimate": estimate, "standard_error": error, "draws_needed": 10 * exact}

    rows = [row(1.0, 1.0, 0.0), row(1.2, 1.3, 0.1), row(1.4, 1.1, 0.1), row(8.0, 4.0, 1.0)]
    near, far = agreement(pd.DataFrame(rows)).to_dict("records")
    assert (near["low"], near["high"], near["cases"]) == (1.0, 1.5, 2)  # the empty product is not a case
    assert near["within"] == 0.5 and near["below"] == 0.5
    assert (far["cases"], far["within"], far["ratio"], far["draws_needed"]) == (1, 0.0, 0.5, 80.0)


def test_the_plot_shows_ratios_with_two_standard_errors():
    table = pd.DataFrame({"exact": [1.0, 2.0, 8.0], "estimate": [1.0, 2.2, 4.0], "standard_error": [0.0, 0.1, 1.0]})
    (axes,) = agreement_figure({"a run": table}, "title").axes
    (container,) = axes.containers
    assert isinstance(container, ErrorbarContainer)
    points, _, (bars,) = container.lines
    np.testing.assert_allclose(np.asarray(points.get_xydata()), [(1.0, 1.0), (2.0, 1.1), (8.0, 0.5)])
    assert isinstance(bars, LineCollection)
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [(1.0, 1.0), (1.0, 1.2), (0.25, 0.75)])
    assert axes.get_xscale() == "log" and axes.get_ylim() == pytest.approx((0.25, 1.75))
