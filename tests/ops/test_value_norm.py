"""Value normaliser: its constants, by hand, and its limits."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import jax
import numpy as np
import pytest

from ltro_jax.ops import denormalise, init_value_norm, normalise, update_value_norm, value_norm_moments
from ltro_jax.ops.value_norm import BETA, DEBIAS_FLOOR, VARIANCE_FLOOR


@pytest.fixture(autouse=True)
def no_silent_broadcast():
    with jax.numpy_rank_promotion("raise"):
        yield


def after(*batches):
    state = init_value_norm()
    for batch in batches:
        state = update_value_norm(state, np.asarray(batch, np.float32))
    return state


def test_constants():
    assert (BETA, DEBIAS_FLOOR, VARIANCE_FLOOR) == (0.99999, 1e-5, 1e-2)


def test_before_any_update_the_deviation_is_a_tenth():
    probe = np.array([-5.0, 0.0, 1.0], np.float32)
    np.testing.assert_allclose(normalise(init_value_norm(), probe), probe * 10, rtol=1e-6)
    np.testing.assert_allclose(denormalise(init_value_norm(), probe), probe / 10, rtol=1e-6)


def test_one_update_gives_the_batch_mean_and_variance():
    mean, variance = value_norm_moments(after([[1.0, 3.0], [5.0, 11.0]]))
    np.testing.assert_allclose(mean, 5.0, rtol=1e-4)
    np.testing.assert_allclose(variance, (16 + 4 + 0 + 36) / 4, rtol=1e-3)


def test_two_updates_by_hand():
    """A batch counts once whatever its size; the older one weighs β times the newer."""
    state = after(np.full(3, 2.0), np.full(100, 4.0))
    weight = 1 - BETA
    np.testing.assert_allclose(state.mean, weight * (BETA * 2 + 4), rtol=1e-5)
    np.testing.assert_allclose(state.mean_sq, weight * (BETA * 4 + 16), rtol=1e-5)
    np.testing.assert_allclose(state.debias, weight * (BETA + 1), rtol=1e-5)
    mean, variance = value_norm_moments(state)
    np.testing.assert_allclose(mean, 3.0, rtol=1e-4)
    np.testing.assert_allclose(variance, 1.0, rtol=1e-3)


def test_variance_floor():
    assert value_norm_moments(after(np.full(10, 0.25)))[1] == np.float32(VARIANCE_FLOOR)


def test_round_trip():
    state, values = after([1.0, 30.0], [-4.0, 2.0]), np.linspace(-20, 20, 7, dtype=np.float32)
    np.testing.assert_allclose(denormalise(state, normalise(state, values)), values, rtol=1e-5, atol=1e-5)


def test_a_constant_stream_keeps_its_mean():
    """Debiasing: the mean is right from the first update on, though β is nearly 1."""
    with jax.enable_x64(True):
        state = jax.tree.map(lambda leaf: leaf.astype(float), init_value_norm())
        for _ in range(50):
            state = update_value_norm(state, np.array([6.0, 8.0]))
            mean, variance = value_norm_moments(state)
            np.testing.assert_allclose([mean, variance], [7.0, 1.0], rtol=1e-9)
