"""Advantage variance of runs: averages, growth rates by hand, plots, and the errors."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.container import ErrorbarContainer

from ltro_jax.analysis.variances import VARIANCES
from ltro_jax.laboratories.variance.plots import variance_figures
from ltro_jax.laboratories.variance.tables import MEASURED, by_position, growth_rate, last_positions, variance_table


def metrics(
    num_agents: int, seeds: tuple[int, ...] = (3, 7), iterations: int = 4, frozen: tuple[int, ...] = ()
) -> xr.Dataset:
    """Seeds in `frozen` have no values from the third iteration on.

    Every metric at position m of seed s in iteration t is (1 + s/10) · 2ᵐ ± 0.5, with alternating sign.
    """
    base = (1 + np.array(seeds)[:, None, None] / 10) * 2.0 ** np.arange(num_agents)
    values = base + 0.5 * (-1.0) ** np.arange(iterations)[:, None]
    finite = ~np.isin(seeds, frozen)[:, None] | (np.arange(iterations) < 2)
    values = np.where(finite[..., None], values, np.nan)
    names = {name: (("member", "iteration", "position"), values) for name in MEASURED}
    names["finite"] = ("member", "iteration"), finite  # type: ignore[assignment]
    coordinates = {
        "seed": ("member", list(seeds)),
        "position": np.arange(num_agents),
        "agent": [f"a{index}" for index in range(num_agents)],
        "env_steps": ("iteration", 10 * np.arange(iterations)),
    }
    return xr.Dataset(names, coordinates, {"task": "probe/x", "algorithm": "happo"})


def test_metrics_are_averaged_over_training():
    means = by_position(metrics(3))
    np.testing.assert_allclose(means["adv_variance_raw"], [[1.3, 2.6, 5.2], [1.7, 3.4, 6.8]])
    assert set(means.data_vars) == set(MEASURED) > set(VARIANCES.values())


def test_growth_rate_by_hand():
    """Doubling with every agent is a rate of log 2, whatever the seed's level; a constant has rate 0."""
    variance = np.array([[1.0, 2.0, 4.0], [3.0, 6.0, 12.0], [0.1, 0.2, 0.4]])
    np.testing.assert_allclose(growth_rate([0, 1, 2], variance), np.log(2), rtol=1e-12)
    np.testing.assert_allclose(growth_rate([2, 5, 9], np.ones((2, 3))), 0.0, atol=1e-12)
    spread = growth_rate([0, 1], [[1.0, np.e], [1.0, np.e**3]])
    assert spread.low < spread.point < spread.high and spread.point == pytest.approx(2.0)


def test_rows_of_the_table():
    rows = variance_table({"one": metrics(2), "two": metrics(3)}).to_dict("records")
    assert [(row["run"], row["agents"], row["position"]) for row in rows] == [
        *[("one", 2, position) for position in (1, 2)],
        *[("two", 3, position) for position in (1, 2, 3)],
    ]
    assert rows[-1]["adv_variance_used"] == pytest.approx(6.0) and rows[-1]["seeds"] == 2
    assert rows[-1]["frozen"] == 0
    assert rows[-1]["kl_low"] < rows[-1]["kl"] < rows[-1]["kl_high"]


def test_frozen_seeds_are_left_out_and_counted():
    """Two of four: the values are those of the two others."""
    some, others = metrics(2, (3, 7, 8, 9), frozen=(8, 9)), metrics(2)
    assert by_position(some).identical(by_position(others))
    table, expected = variance_table({"x": some}), variance_table({"x": others})
    assert table[["seeds", "frozen"]].values.tolist() == [[2, 2]] * 2
    pd.testing.assert_frame_equal(table.assign(frozen=0), expected)
    _, values = last_positions([some, metrics(3, (3, 7, 8))], "kl")
    assert values.shape == (2, 2)


def test_an_overflow_of_one_iteration_makes_the_mean_infinite():
    some = metrics(2, (3, 4, 5, 6))
    some["adv_variance_raw"][0, 1, 1] = np.inf
    found = by_position(some)["adv_variance_raw"].values
    assert np.isinf(found[0, 1]) and np.isfinite(np.delete(found.ravel(), 1)).all()
    row = variance_table({"x": some}).loc[1]
    assert np.isfinite(row["adv_variance_raw"])  # of four seeds the interquartile mean cuts one at each end
    assert row["adv_variance_raw_low"] < row["adv_variance_raw"] and row["adv_variance_raw_high"] == np.inf
    some["adv_variance_raw"][:, 1, 1] = np.inf
    row = variance_table({"x": some}).loc[1]
    assert row["adv_variance_raw_low"] == row["adv_variance_raw"] == row["adv_variance_raw_high"] == np.inf


def test_a_missing_value_of_a_healthy_seed_is_not_skipped():
    some = metrics(2)
    some["kl"][0, 1, 1] = np.nan
    assert np.isnan(by_position(some)["kl"].values[0, 1])


def test_last_positions_take_the_seeds_that_all_runs_have():
    numbers, values = last_positions([metrics(3, (7, 3, 9)), metrics(2, (3, 7))], "adv_variance_raw")
    np.testing.assert_array_equal(numbers, [2, 3])
    np.testing.assert_allclose(values, [[2.6, 5.2], [3.4, 6.8]])


def test_plots_show_the_variance_of_each_kind_by_position():
    data = metrics(3)
    data["adv_variance_used"] = 0.5 * data["adv_variance_used"]
    data["episode_return"] = ("member", "iteration"), np.full((2, 4), np.nan)  # no episode has ended
    figures = variance_figures({"x": data}, "title")
    assert set(figures) == {"variance_over_training", "variance_by_position"}
    (axes,) = figures["variance_by_position"].axes
    bars = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    heights = {container.get_label(): np.asarray(container.lines[0].get_xydata()) for container in bars}
    for label, scale in {"x: raw": 1.0, "x: used": 0.5}.items():
        np.testing.assert_allclose(heights[label], [(m + 1, scale * 1.5 * 2.0**m) for m in range(3)])
    panel = figures["variance_over_training"].axes[2]
    np.testing.assert_allclose(np.asarray(panel.lines[0].get_ydata()), [6.5, 5.5, 6.5, 5.5])  # 1.5 · 2² ± 0.5


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: by_position(metrics(2).drop_vars("kl")), "the run lacks the metrics kl"),
        (lambda: by_position(metrics(2, (3,))), "the run has one seed; an interval needs at least 2"),
        (lambda: by_position(metrics(2, frozen=(7,))), "1 of 2 seeds are frozen; an interval needs 2 healthy seeds"),
        (lambda: growth_rate([1, 2], [[1, np.inf], [1, 2]]), "finite variances, but R overflows float32"),
        (lambda: growth_rate([1, 1], np.ones((2, 2))), "at least two different numbers of agents"),
        (lambda: growth_rate([1, 2], np.zeros((2, 2))), "positive variances"),
        (lambda: last_positions([metrics(2), metrics(2)], "kl"), "two of the runs have the same number of agents"),
        (
            lambda: last_positions([metrics(2, (1, 2)), metrics(3, (2, 4))], "kl"),
            "fewer than two healthy seeds in common",
        ),
    ],
)
def test_what_cannot_be_measured(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
