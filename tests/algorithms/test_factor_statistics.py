"""Figures of one position, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.config import Hypers
from ltro_jax.types import AgentBatch

FACTOR = np.array([[0.5, 1.0, 2.0], [4.0, 0.25, 100.0]])
RATIO = np.array([[1.0, 2.0, 0.5], [1.0, 1.0, 9.0]])
ADVANTAGE = np.array([[1.0, -1.0, 2.0], [0.5, -2.0, 50.0]])
ALIVE = np.array([[True, True, True], [True, True, False]])
CLIP = 2.0


def statistics(alive):
    nothing = jnp.zeros((2, 3))
    batch = AgentBatch(
        nothing, nothing, nothing, jnp.asarray(alive), nothing, jnp.asarray(ADVANTAGE, jnp.float32), None
    )
    log_factor, log_ratio = jnp.log(jnp.asarray(FACTOR, jnp.float32)), jnp.log(jnp.asarray(RATIO, jnp.float32))
    weight = jnp.minimum(jnp.asarray(FACTOR, jnp.float32), CLIP)
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
