"""Ratios and factors from logarithms: exact where they matter, finite everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.ops import MAX_RATIO, clamped_factor, clipped_surrogate, probability_ratio

LOG_LIMIT = np.log(MAX_RATIO)


def test_a_ratio_is_the_exponential_up_to_the_bound():
    log_ratio = jnp.linspace(-90.0, 23.0, 200)
    np.testing.assert_array_equal(probability_ratio(log_ratio), jnp.exp(log_ratio))
    np.testing.assert_array_equal(jax.vmap(jax.grad(probability_ratio))(log_ratio), jnp.exp(log_ratio))


@pytest.mark.parametrize("log_ratio", [200.0, 1e4])
def test_beyond_it_the_tangent(log_ratio):
    value, slope = jax.value_and_grad(probability_ratio)(log_ratio)
    np.testing.assert_allclose(value, MAX_RATIO * (1 + log_ratio - LOG_LIMIT), rtol=1e-5)
    np.testing.assert_allclose(slope, MAX_RATIO, rtol=1e-5)


def test_the_clamped_factor():
    log_factor = jnp.array([-1e4, -1.0, 0.0, 0.5, 200.0, 1e4])
    np.testing.assert_array_equal(clamped_factor(log_factor, 1.0), jnp.minimum(jnp.exp(log_factor), 1.0))
    np.testing.assert_array_equal(clamped_factor(log_factor, 1.3)[3:], jnp.full(3, 1.3))
    unclipped = clamped_factor(log_factor, jnp.inf)
    np.testing.assert_array_equal(unclipped[:4], jnp.exp(log_factor[:4]))
    np.testing.assert_allclose(unclipped[4:], MAX_RATIO, rtol=1e-5)


@pytest.mark.parametrize("log_ratio", [200.0, 1e4])
@pytest.mark.parametrize(
    "advantage, alive, pulled", [(1.0, True, 0), (0.0, True, 0), (-1.0, True, 1), (-1.0, False, 0)]
)
def test_an_overflowing_ratio_leaves_the_surrogate_and_its_gradient_finite(log_ratio, advantage, alive, pulled):
    """Of the second sample: only with a negative advantage and alive does it move anything, and then downwards."""

    def objective(logs):
        ones = jnp.ones(2)
        mask = jnp.array([True, alive])
        return clipped_surrogate(probability_ratio(logs), jnp.array([1.0, advantage]), 1e10 * ones, 0.2, mask)

    value, gradient = jax.value_and_grad(objective)(jnp.array([0.0, log_ratio]))
    assert jnp.isfinite(value)
    assert gradient[0] > 0
    np.testing.assert_allclose(gradient[1], -pulled * 1e10 * MAX_RATIO / 2, rtol=1e-5)
