"""Figures of one position, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.config import Hypers
from ltro_jax.ops import clamped_factor
from ltro_jax.types import AgentBatch

FACTOR = np.array([[0.5, 1.0, 2.0], [4.0, 0.25, 100.0]])
RATIO = np.array([[1.0, 2.0, 0.5], [1.0, 1.0, 9.0]])
ADVANTAGE = np.array([[1.0, -1.0, 2.0], [0.5, -2.0, 50.0]])
ALIVE = np.array([[True, True, True], [True, True, False]])
CLIP = 2.0


def statistics(alive, log_factor=None, log_ratio=None):
    nothing = jnp.zeros((2, 3))
    batch = AgentBatch(
        nothing, nothing, nothing, jnp.asarray(alive), nothing, jnp.asarray(ADVANTAGE, jnp.float32), None
    )
    log_factor = jnp.asarray(np.log(FACTOR) if log_factor is None else log_factor, jnp.float32)
    log_ratio = jnp.asarray(np.log(RATIO) if log_ratio is None else log_ratio, jnp.float32)
    weight = clamped_factor(log_factor, CLIP)
    return factor_statistics(log_factor, weight, log_ratio, batch, Hypers(factor_clip=CLIP))._asdict()


def test_by_hand():
    factor, ratio, advantage = FACTOR[ALIVE], RATIO[ALIVE], ADVANTAGE[ALIVE]
    expected = {
        "adv_variance_raw": np.var(factor * advantage, ddof=1),
        "adv_variance_clip1": np.var(np.minimum(factor, 1) * advantage, ddof=1),
        "adv_variance_used": np.var(np.minimum(factor, CLIP) * advantage, ddof=1),
        "factor_mean": 7.75 / 5,
        "factor_max": 4.0,
        "factor_min": 0.25,
        "factor_ess": 7.75**2 / (0.25 + 1 + 4 + 16 + 0.0625),
        "factor_above_one": 2 / 5,
        "factor_above_clip": 1 / 5,
        "kl": np.mean(ratio - 1 - np.log(ratio)),
        "total_variation": (1.0 + 0.5) / 2 / 5,
    }
    measured = statistics(ALIVE)
    assert set(measured) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("alive", [np.zeros((2, 3), bool), np.eye(2, 3, dtype=bool)])
def test_finite_whatever_is_alive(alive):
    measured = statistics(alive)
    assert all(np.isfinite(value) for value in measured.values())
    if not alive.any():
        assert all(value == 0 for value in measured.values())


@pytest.mark.parametrize("shift, overflows", [(30.0, set()), (60.0, {"variance"}), (1e4, {"variance", "mean", "max"})])
def test_an_overflow_is_infinite_and_never_missing(shift, overflows):
    """R times a constant: the variance is infinite only where it truly exceeds 3.4e38; the sample size stays."""
    measured = statistics(ALIVE, np.log(FACTOR) + shift)
    by_hand = statistics(ALIVE)
    names = {"variance": "adv_variance_raw", "mean": "factor_mean", "max": "factor_max"}
    for short, name in names.items():
        if short in overflows:
            assert measured[name] == np.inf
        else:
            power = 2 if short == "variance" else 1
            np.testing.assert_allclose(measured[name], by_hand[name] * np.exp(shift * power), rtol=1e-4)
    np.testing.assert_allclose(measured["factor_ess"], by_hand["factor_ess"], rtol=1e-3)
    assert all(np.isfinite(measured[name]) for name in measured if name not in (*names.values(), "factor_min"))
    assert not any(np.isnan(value) for value in measured.values())


def test_a_tiny_step_has_a_tiny_divergence():
    """log r = ± 1e-4 gives KL = 1e-8 / 2, of which r − 1 − log r in float32 keeps nothing."""
    log_ratio = np.where(ADVANTAGE > 0, 1e-4, -1e-4)
    measured = statistics(ALIVE, log_ratio=log_ratio)
    np.testing.assert_allclose(measured["kl"], np.mean((np.expm1(log_ratio) - log_ratio)[ALIVE]), rtol=1e-2)
    np.testing.assert_allclose(measured["total_variation"], 0.5e-4, rtol=1e-4)


def test_an_overflowing_ratio_is_infinite_too():
    measured = statistics(ALIVE, log_ratio=np.where(RATIO > 1, 1e4, 0.0))
    assert measured["kl"] == measured["total_variation"] == np.inf
