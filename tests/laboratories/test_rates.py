"""Slopes of known power laws, and what is not read: rounding, and gaps that are zero."""

import numpy as np
import pytest

from ltro_jax.laboratories.games.rates import log_spaced, power_law_slopes

STEPS = log_spaced(1000)


def test_iterations_are_even_in_their_logarithm():
    assert STEPS[0] == 1 and STEPS[-1] == 1000 and np.all(np.diff(STEPS) > 0)
    assert np.sum(STEPS > 100) == 10 == np.sum((STEPS > 10) & (STEPS <= 100))
    assert log_spaced(1).tolist() == [1]


@pytest.mark.parametrize("slope", [-0.5, -1.0, -3.0, 0.0])
def test_a_power_law(slope):
    gap = 7.0 * STEPS[None] ** float(slope)
    np.testing.assert_allclose(power_law_slopes(STEPS, gap, floor=1e-12), [slope], atol=1e-12)


def test_the_last_decade_counts():
    """A plateau before it changes nothing, noise within it averages out."""
    rng = np.random.default_rng(0)
    gap = np.where(STEPS < 100, 1.0, (STEPS / 100.0) ** -2.0) * np.exp(0.01 * rng.normal(size=(50, len(STEPS))))
    slopes = power_law_slopes(STEPS, gap, floor=1e-9)
    assert abs(slopes.mean() + 2.0) < 0.01 and np.all(np.abs(slopes + 2.0) < 0.1)


def test_nothing_is_read_from_the_floor_on():
    """k⁻² reaches 1e-4 at k = 100; later values, zeros or a rise, have no effect."""
    gap = STEPS.astype(float) ** -2
    zeros, rises = np.where(STEPS >= 100, 0.0, gap), np.where(STEPS > 100, 1.0, np.minimum(gap, 1.0))
    slopes = power_law_slopes(STEPS, np.stack([zeros, rises]), floor=1.001e-4)
    np.testing.assert_allclose(slopes, -2.0, atol=1e-12)


def test_too_few_points_give_no_slope():
    gap = np.where(STEPS < 3, 1.0, 0.0)
    assert np.isnan(power_law_slopes(STEPS, np.stack([gap, 0 * gap]), floor=1e-9)).all()


def test_iterations_start_at_one():
    with pytest.raises(ValueError, match="at least 1"):
        power_law_slopes([0, 1, 2], np.ones((1, 3)), floor=1e-9)
