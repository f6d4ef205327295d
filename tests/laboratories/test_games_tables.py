"""Tables and plots of the exact studies: violations are counted, known rates are recovered, plots show the values."""

import numpy as np
import pytest
import xarray as xr

from ltro_jax.laboratories.games.plots import factor_rules_figure, gap_figure, improvement_figure, variance_figure
from ltro_jax.laboratories.games.tables import (
    factor_rules_table,
    gap_table,
    growth_table,
    improvement_table,
    lowest_errors,
    variance_table,
)


def improvements(improvement, bound) -> xr.Dataset:
    dims = ("rule", "kl_threshold", "game", "iteration")
    values = {
        name: (dims, np.asarray(x, float)[None, None]) for name, x in (("improvement", improvement), ("bound", bound))
    }
    return xr.Dataset(values, {"rule": ["c = 1"], "kl_threshold": [0.1]}, {"gamma": 0.9})


def test_violations_and_falls_are_counted():
    """A difference of 1e-10 is rounding, 1e-8 is not."""
    study = improvements(
        [[1.0, -1.0, 0.5, -1e-10], [-1e-8, 0.2, 0.0, 0.3]], [[0.5, -2.0, 0.6, 0.0], [0.0, 0.2, 1e-8, -1.0]]
    )
    (row,) = improvement_table(study).to_dict("records")
    assert (row["updates"], row["violations"], row["falls"]) == (8, 3, 2)
    assert row["falls_where_bound_not_negative"] == 1
    assert row["bound_not_negative"] == 6 / 8 and row["bound_above_rounding"] == 4 / 8
    np.testing.assert_allclose(row["smallest_margin"], -0.1)
    (axes,) = improvement_figure(study).axes
    points, key, diagonal, *_ = axes.lines
    expected = [study[name].values.ravel() for name in ("bound", "improvement")]
    np.testing.assert_array_equal(points.get_xydata(), np.transpose(expected))
    np.testing.assert_array_equal(*np.transpose(diagonal.get_xydata()))
    assert (key.get_label(), diagonal.get_label(), axes.get_title()) == ("c = 1", "bound met exactly", "KL < 0.1")


def moments() -> xr.Dataset:
    """Variance 0.1 · 1.5^position for c = ∞, 0.1 for c = 1; three times as large at every position if N = 3."""
    agents, position = np.array([2, 2, 3, 3, 3]), np.array([1, 2, 1, 2, 3])
    scale = 0.1 * 3.0 ** (agents - 2) * np.linspace(1, 2, 6)[:, None]
    variance = np.stack([scale * np.ones(5), scale * 1.5**position])[None]
    dims = ("kl_threshold", "factor_clip", "game", "place")
    bound = np.stack([np.full((6, 5), 0.55), np.full((6, 5), np.inf)])[None]
    values = {"variance": variance, "second_moment": variance, "bound": bound, "factor_second_moment": variance}
    coordinates = {"kl_threshold": [0.1], "factor_clip": [1.0, np.inf]}
    coordinates |= {"agents": ("place", agents), "position": ("place", position)}
    return xr.Dataset({name: (dims, value) for name, value in values.items()}, coordinates)


def test_growth_is_that_of_the_factor():
    """1.5 per additional agent over positions and over N, although larger games have larger advantages."""
    table = growth_table(moments())
    rates = table.set_index(["factor_clip", "over"])["rate"].to_dict()
    assert set(rates) == {(clip, over) for clip in (1.0, np.inf) for over in ("positions, N = 3", "N, last position")}
    for (clip, _), rate in rates.items():
        np.testing.assert_allclose(rate, np.log(1.5) if clip == np.inf else 0.0, atol=1e-12)
    np.testing.assert_allclose(table["factor_per_agent"], np.exp(table["rate"]))


def test_games_beyond_the_bound_are_counted():
    """0.3 · (1 … 2) exceeds 0.55 in the last game alone; nothing exceeds ∞."""
    rows = variance_table(moments()).to_dict("records")
    counts = [(row["factor_clip"], row["agents"], row["position"], row["violations"]) for row in rows]
    assert counts == [
        (clip, agents, position, int(clip == 1.0 and agents == 3))
        for clip in (1.0, np.inf)
        for agents, position in ((2, 1), (2, 2), (3, 1), (3, 2), (3, 3))
    ]
    assert rows[-1]["bound"] == rows[-1]["bound_low"] == np.inf and rows[0]["bound_high"] == 0.55


def test_the_plot_of_variances_shows_means_over_games():
    """Positions of N = 3 above, last positions below; scale (1 … 2) has the interquartile mean 1.5."""
    above, below = variance_figure(moments()).axes
    expected = {"min(R, 1)": (0.45, 0.45, 0.45), "R": 0.45 * 1.5 ** np.arange(1, 4)}
    for weight, heights in expected.items():
        line = lines_by_label(above)[f"Var({weight}·A)"]
        np.testing.assert_allclose(line.get_xydata(), np.transpose([(1, 2, 3), heights]))
        line = lines_by_label(below)[f"Var({weight}·A)"]
        first = 0.15 * (1.5**2 if weight == "R" else 1.0)
        np.testing.assert_allclose(line.get_xydata(), [(2, first), (3, heights[-1])])
    np.testing.assert_allclose(lines_by_label(above)["bound on E[(min(R, 1)·A)²]"].get_ydata(), 0.55)


def trade_offs() -> xr.Dataset:
    """R with bias 0 and variance 4, min(R, 1) with bias −0.1 and variance 1, and 1 with bias −0.5 and variance 2.25."""
    bias, variance = np.array([-1e-17, -0.1, -0.5]), np.array([4.0, 1.0, 2.25])
    dims = ("kl_threshold", "weight", "game", "place")
    values = {
        name: (dims, np.broadcast_to(x[:, None, None], (1, 3, 4, 3)))
        for name, x in (("bias", bias), ("variance", variance))
    }
    coordinates = {"kl_threshold": [0.1], "weight": ["R", "min(R, 1)", "none"]}
    coordinates |= {"rule": ("weight", ["clamp", "clamp", "none"]), "parameter": ("weight", [np.inf, 1.0, np.nan])}
    coordinates |= {"agents": ("place", [1, 2, 2]), "position": ("place", [1, 1, 2])}
    return xr.Dataset(values, coordinates, {"num_samples": [100, 10_000]})


def test_errors_of_batch_means():
    """0.01 + 1/n against 4/n: the clamp is better for n < 300; a bias of 1e-17 is rounding."""
    table = factor_rules_table(trade_offs())
    assert len(table) == 9 and table["bias"].tolist() == [0.0] * 3 + [-0.1] * 3 + [-0.5] * 3
    np.testing.assert_allclose(table["mse_100"], np.repeat([0.04, 0.02, 0.2725], 3))
    np.testing.assert_allclose(table["mse_10000"], np.repeat([0.0004, 0.0101, 0.250225], 3))
    np.testing.assert_allclose(table["standard_deviation_high"], np.repeat([2.0, 1.0, 1.5], 3))
    rows = lowest_errors(table).to_dict("records")
    assert [(row["agents"], row["mse_100"], row["mse_10000"]) for row in rows] == [
        (1, "min(R, 1)", "R"),
        (2, "min(R, 1)", "R"),
    ]


def test_the_plot_of_trade_offs_has_a_curve_for_each_rule():
    panels = factor_rules_figure(trade_offs()).axes
    assert [axes.get_title() for axes in panels] == ["N = 1", "N = 2"]
    for axes in panels:
        clamp, none, _ = axes.lines
        np.testing.assert_allclose(np.asarray(clamp.get_xydata()), [(0.1, 1.0), (0.0, 2.0)], atol=1e-12)
        np.testing.assert_allclose(np.asarray(none.get_xydata()), [(0.5, 1.5)])
        assert (clamp.get_label(), none.get_label()) == ("clamp", "none")
        assert [text.get_text() for text in axes.texts] == ["1"]  # neither ∞ nor a rule without a parameter


def lines_by_label(axes):
    """Line of each error-bar curve."""
    return {container.get_label(): container.lines[0] for container in axes.containers}


@pytest.fixture
def gaps() -> xr.Dataset:
    """Four games whose gap falls as 1/k, and one that is closed from the beginning."""
    steps = np.unique(np.rint(np.geomspace(1, 2000, 40)))
    gap = np.stack([a / steps for a in (0.5, 1.0, 1.5, 1.9)] + [0.0 * steps])
    values = {
        "gap": (("agent_update", "rule", "game", "iteration"), gap[None, None]),
        "expected_return": (("agent_update", "rule", "game"), np.arange(5.0)[None, None]),
    }
    return xr.Dataset(values, {"agent_update": ["gradient_step"], "rule": ["c = 1"], "iteration": steps})


def test_gaps(gaps):
    table = gap_table(gaps)
    (row,) = table.to_dict("records")
    np.testing.assert_allclose((row["slope"], row["slope_low"], row["slope_high"]), -1.0)
    assert (row["games"], row["iterations"], row["fitted"], row["below_1e-3"]) == (5, 2000, 4, 1.0)
    assert 1000 <= row["iterations_to_1e-3"] < 1300 and row["expected_return"] == 2.0
    (axes,) = gap_figure(gaps, table).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["c = 1: -1.00 [-1.00, -1.00]", "fitted slopes"]
    median, upper, _ = axes.lines
    np.testing.assert_allclose(
        np.asarray(median.get_xydata()), np.transpose([gaps["iteration"], 1.0 / gaps["iteration"]])
    )
    np.testing.assert_allclose(
        np.asarray(upper.get_ydata()), 1.74 / gaps["iteration"]
    )  # 0.6 of the way from 1.5 to 1.9


def test_no_slope_where_no_game_can_be_fitted(gaps):
    (row,) = gap_table(gaps.assign(gap=0.0 * gaps["gap"])).to_dict("records")
    assert np.isnan(row["slope"]) and row["fitted"] == 0 and row["median_gap"] == 0.0
