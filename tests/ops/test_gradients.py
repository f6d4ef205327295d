"""Clipping by the global norm."""

import jax.numpy as jnp
import numpy as np

from ltro_jax.ops import clip_by_global_norm, global_norm

GRADIENT = {"a": jnp.array([3.0, 0.0]), "b": {"c": jnp.array([[4.0]])}}  # norm 5


def test_below_the_limit_nothing_changes():
    clipped, norm = clip_by_global_norm(GRADIENT, 10.0)
    assert norm == 5.0
    np.testing.assert_array_equal(clipped["a"], GRADIENT["a"])
    np.testing.assert_array_equal(clipped["b"]["c"], GRADIENT["b"]["c"])


def test_above_the_limit_by_hand():
    """PyTorch's 1e-6 in the denominator."""
    clipped, norm = clip_by_global_norm(GRADIENT, 1.0)
    assert norm == 5.0
    np.testing.assert_allclose(clipped["a"][0], 3 / (5 + 1e-6), rtol=1e-6)
    np.testing.assert_allclose(clipped["b"]["c"][0, 0], 4 / (5 + 1e-6), rtol=1e-6)


def test_the_denominator_matters_for_small_gradients():
    clipped, _ = clip_by_global_norm({"a": jnp.array([1e-6])}, 1e-6)
    np.testing.assert_allclose(clipped["a"], [0.5e-6], rtol=1e-5)


def test_zero_gradient_stays_zero():
    clipped, norm = clip_by_global_norm({"a": jnp.zeros(3)}, 1.0)
    assert norm == 0
    np.testing.assert_array_equal(clipped["a"], np.zeros(3))


def test_squares_of_large_entries_do_not_overflow():
    """3, 0 and 4 times 1e30: the norm is 5e30, and the clipped gradient has the length asked for."""
    large = {"a": GRADIENT["a"] * 1e30, "b": {"c": GRADIENT["b"]["c"] * 1e30}}
    clipped, norm = clip_by_global_norm(large, 10.0)
    np.testing.assert_allclose(norm, 5e30, rtol=1e-6)
    np.testing.assert_allclose(global_norm(clipped), 10.0, rtol=1e-6)
