"""Divergences by hand, where they are tiny and where the ratio overflows."""

import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.laboratories.games import chi_square, kl_divergence, total_variation


def test_by_hand(x64):
    """π = (½, ½), π' = (¼, ¾)."""
    old, new = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(total_variation(new, old), 0.25, rtol=1e-14)
    np.testing.assert_allclose(chi_square(new, old), 0.25, rtol=1e-14)
    np.testing.assert_allclose(kl_divergence(old, new), 0.5 * np.log(4 / 3), rtol=1e-14)


@pytest.mark.parametrize("divergence", [total_variation, chi_square, kl_divergence])
def test_nothing_between_a_policy_and_itself(x64, divergence):
    log_policy = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.98, 0.01, 0.01]]))
    assert np.all(np.asarray(divergence(log_policy, log_policy)) == 0.0)


def test_a_small_step_is_not_lost(x64):
    """½ ± h: TV = h, χ² = 4h², KL = 2h² + O(h⁴)."""
    h = 1e-7
    old, new = jnp.log(jnp.array([0.5, 0.5])), jnp.log(0.5) + jnp.log1p(jnp.array([2 * h, -2 * h]))
    np.testing.assert_allclose(total_variation(new, old), h, rtol=1e-8)
    np.testing.assert_allclose(chi_square(new, old), 4 * h**2, rtol=1e-8)
    np.testing.assert_allclose(kl_divergence(old, new), 2 * h**2, rtol=1e-6)


def test_a_ratio_that_overflows(x64):
    """π gives an action e^−800 (0 in float64), π' gives it ½: TV = ½, KL = log 2, χ² beyond float64."""
    old, new = jnp.array([0.0, -800.0]), jnp.log(jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(total_variation(new, old), 0.5, rtol=1e-14)
    np.testing.assert_allclose(kl_divergence(old, new), np.log(2), rtol=1e-12)
    assert np.isinf(chi_square(new, old))
