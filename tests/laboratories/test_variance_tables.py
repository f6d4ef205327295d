"""Advantage variance of runs: averages, growth rates by hand, and what is refused."""

import numpy as np
import pytest
import xarray as xr

from ltro_jax.laboratories.variance.tables import MEASURED, by_position, growth_rate, last_positions, table


def metrics(
    num_agents: int, seeds: tuple[int, ...] = (3, 7), iterations: int = 4, frozen: tuple[int, ...] = ()
) -> xr.Dataset:
    """Seeds `frozen` have nothing from the third iteration on.

    Every figure at position m of seed s in iteration t: (1 + s/10) · 2ᵐ, and ± 0.5 in turn around it.
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


def test_figures_are_averaged_over_training():
    figures = by_position(metrics(3))
    np.testing.assert_allclose(figures["adv_variance_raw"], [[1.3, 2.6, 5.2], [1.7, 3.4, 6.8]])
    assert set(figures.data_vars) == set(MEASURED)


def test_growth_rate_by_hand():
    """Doubling with every agent is a rate of log 2, whatever the seed's level; a constant has rate 0."""
    variance = np.array([[1.0, 2.0, 4.0], [3.0, 6.0, 12.0], [0.1, 0.2, 0.4]])
    np.testing.assert_allclose(growth_rate([0, 1, 2], variance), np.log(2), rtol=1e-12)
    np.testing.assert_allclose(growth_rate([2, 5, 9], np.ones((2, 3))), 0.0, atol=1e-12)
    spread = growth_rate([0, 1], [[1.0, np.e], [1.0, np.e**3]])
    assert spread.low < spread.point < spread.high and spread.point == pytest.approx(2.0)


def test_rows_of_the_table():
    rows = table({"one": metrics(2), "two": metrics(3)})
    assert [(row["run"], row["agents"], row["position"]) for row in rows] == [
        *[("one", 2, position) for position in (1, 2)],
        *[("two", 3, position) for position in (1, 2, 3)],
    ]
    assert rows[-1]["adv_variance_used"] == pytest.approx(6.0) and rows[-1]["seeds"] == 2
    assert rows[-1]["frozen"] == 0
    assert rows[-1]["kl_low"] < rows[-1]["kl"] < rows[-1]["kl_high"]


def test_frozen_seeds_are_left_out_and_counted():
    """Two of four: the figures are those of the two others alone."""
    some, others = metrics(2, (3, 7, 8, 9), frozen=(8, 9)), metrics(2)
    assert by_position(some).identical(by_position(others))
    rows, expected = table({"x": some}), table({"x": others})
    assert [(row["seeds"], row["frozen"]) for row in rows] == [(2, 2)] * 2
    assert [row | {"frozen": 0} for row in rows] == expected
    _, values = last_positions([some, metrics(3, (3, 7, 8))], "kl")
    assert values.shape == (2, 2)


def test_an_overflow_of_one_iteration_makes_the_mean_infinite():
    some = metrics(2, (3, 4, 5, 6))
    some["adv_variance_raw"][0, 1, 1] = np.inf
    found = by_position(some)["adv_variance_raw"].values
    assert np.isinf(found[0, 1]) and np.isfinite(np.delete(found.ravel(), 1)).all()
    row = table({"x": some})[1]
    assert np.isfinite(row["adv_variance_raw"])  # of four seeds the interquartile mean cuts one at each end
    assert row["adv_variance_raw_low"] < row["adv_variance_raw"] and row["adv_variance_raw_high"] == np.inf
    some["adv_variance_raw"][:, 1, 1] = np.inf
    row = table({"x": some})[1]
    assert row["adv_variance_raw_low"] == row["adv_variance_raw"] == row["adv_variance_raw_high"] == np.inf


def test_a_missing_value_of_a_healthy_seed_is_not_skipped():
    some = metrics(2)
    some["kl"][0, 1, 1] = np.nan
    assert np.isnan(by_position(some)["kl"].values[0, 1])


def test_last_positions_take_the_seeds_that_all_runs_have():
    numbers, values = last_positions([metrics(3, (7, 3, 9)), metrics(2, (3, 7))], "adv_variance_raw")
    np.testing.assert_array_equal(numbers, [2, 3])
    np.testing.assert_allclose(values, [[2.6, 5.2], [3.4, 6.8]])


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: by_position(metrics(2).drop_vars("kl")), "the run lacks the metrics kl"),
        (lambda: by_position(metrics(2, (3,))), "the run has one seed; an interval needs at least 2"),
        (lambda: by_position(metrics(2, frozen=(7,))), "1 of 2 seeds were frozen; an interval needs 2 healthy ones"),
        (lambda: growth_rate([1, 2], [[1, np.inf], [1, 2]]), "finite variances, and R overflowed float32"),
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
