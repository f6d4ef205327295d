"""Layer normalisation: hand values, the written derivative against what JAX derives, entries that do not exist."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ltro_jax.ops import LAYER_NORM_EPS, layer_norm

X = np.random.default_rng(0).normal(3.0, 2.0, (6, 7))
MASK = np.arange(7) < 5


def as_written(x, mask=None):
    """The formula without a custom derivative."""
    where = None if mask is None else jnp.broadcast_to(mask, x.shape)
    deviation = x - jnp.mean(x, -1, keepdims=True, where=where)
    deviation = deviation if where is None else jnp.where(where, deviation, 0.0)
    return deviation / jnp.sqrt(jnp.mean(jnp.square(deviation), -1, keepdims=True, where=where) + LAYER_NORM_EPS)


def test_by_hand():
    """(0, 2, 4) has mean 2 and variance 8/3."""
    expected = np.array([-2.0, 0.0, 2.0]) / np.sqrt(8 / 3 + 1e-5)
    np.testing.assert_allclose(layer_norm(jnp.array([0.0, 2.0, 4.0])), expected, rtol=1e-6)


def test_as_flax_does_it():
    x = X.astype(np.float32)
    reference = nn.LayerNorm(epsilon=LAYER_NORM_EPS, use_fast_variance=False, use_bias=False, use_scale=False)
    np.testing.assert_allclose(layer_norm(x), np.asarray(reference.apply({}, x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", [None, MASK])
def test_derivatives_are_those_of_the_formula(mask):
    """First and second, forward and backward, in float64."""
    with jax.enable_x64(True):
        x, direction = jnp.asarray(X), jnp.asarray(np.random.default_rng(1).normal(size=X.shape))
        weight = jnp.asarray(np.random.default_rng(2).normal(size=X.shape))

        def score(norm):
            return lambda x: jnp.sum(jnp.tanh(norm(x, mask)) * weight)

        for derivative in (
            lambda f: jax.grad(score(f))(x),
            lambda f: jax.jvp(lambda x: f(x, mask), (x,), (direction,))[1],
            lambda f: jax.jvp(jax.grad(score(f)), (x,), (direction,))[1],
            lambda f: jax.grad(lambda x: jnp.sum(jax.grad(score(f))(x) * direction))(x),
        ):
            np.testing.assert_allclose(derivative(layer_norm), derivative(as_written), rtol=1e-9, atol=1e-12)


def test_entries_that_do_not_exist():
    """They change nothing and receive nothing, whatever stands there."""
    x = X.astype(np.float32)
    x[:, 5:] = 1e30
    y, pull = jax.vjp(lambda x: layer_norm(x, MASK), jnp.asarray(x))
    np.testing.assert_allclose(y[:, :5], layer_norm(x[:, :5]), rtol=1e-5, atol=1e-6)
    assert np.all(y[:, 5:] == 0)
    assert np.all(pull(jnp.ones_like(y))[0][:, 5:] == 0)


def test_equal_entries_have_a_finite_derivative():
    gradient = jax.grad(lambda x: layer_norm(x)[0])(jnp.full(4, 2.0))
    assert np.all(np.isfinite(gradient))
