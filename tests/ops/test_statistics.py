"""Masked statistics: hand arithmetic, numpy, masks that hide poison, masks that hide everything."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from ltro_jax.ops import effective_sample_size, masked_fraction, masked_mean, masked_variance, standardise

X = jnp.array([1.0, 2.0, 3.0, 6.0, 100.0])
MASK = jnp.array([True, True, True, True, False])
NONE = jnp.zeros(5, bool)
SCALARS = {
    "mean": masked_mean,
    "variance": masked_variance,
    "unbiased variance": lambda x, mask: masked_variance(x, mask, ddof=1),
    "effective sample size": effective_sample_size,
}


def test_by_hand():
    assert masked_mean(X, MASK) == 3.0
    assert masked_variance(X, MASK) == (4 + 1 + 0 + 9) / 4
    np.testing.assert_allclose(masked_variance(X, MASK, ddof=1), (4 + 1 + 0 + 9) / 3, rtol=1e-6)
    assert masked_fraction(X > 2.5, MASK) == 0.5
    np.testing.assert_allclose(effective_sample_size(X, MASK), 12**2 / (1 + 4 + 9 + 36), rtol=1e-6)


def test_standardise_by_hand():
    """Mean 3, population deviation √3.5; the masked sample is shifted and scaled like the others."""
    expected = (np.array(X) - 3) / (np.sqrt(3.5) + 1e-5)
    np.testing.assert_allclose(standardise(X, MASK), expected, rtol=1e-6)


def test_standardised_samples_have_mean_zero_and_deviation_one():
    generator = np.random.default_rng(0)
    x, mask = generator.normal(5.0, 3.0, (40, 8)).astype(np.float32), generator.random((40, 8)) < 0.6
    valid = np.array(standardise(x, mask))[mask]
    np.testing.assert_allclose([valid.mean(), valid.std()], [0, 1], atol=1e-5)


def test_standardising_constants_gives_zero():
    np.testing.assert_array_equal(standardise(jnp.full(5, 7.0), MASK), np.zeros(5))


@pytest.mark.parametrize("ddof", [0, 1])
def test_against_numpy(ddof):
    generator = np.random.default_rng(1)
    x, mask = generator.normal(50.0, 1.0, (9, 4)).astype(np.float32), generator.random((9, 4)) < 0.5
    np.testing.assert_allclose(masked_mean(x, mask), x[mask].mean(), rtol=1e-6)
    np.testing.assert_allclose(masked_variance(x, mask, ddof=ddof), x[mask].var(ddof=ddof), rtol=1e-4)


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e38])
def test_masked_entries_never_matter(name, poison):
    statistic = SCALARS[name]
    clean = jax.value_and_grad(statistic)(X, MASK)
    dirty = jax.value_and_grad(statistic)(jnp.where(MASK, X, poison), MASK)
    np.testing.assert_array_equal(dirty[0], clean[0])
    np.testing.assert_array_equal(dirty[1], clean[1])
    assert clean[1][-1] == 0


@pytest.mark.parametrize("name", SCALARS)
def test_an_empty_mask_gives_zero_and_finite_gradients(name):
    value, gradient = jax.value_and_grad(SCALARS[name])(X, NONE)
    assert value == 0
    assert np.all(np.isfinite(gradient))
    assert masked_fraction(X > 0, NONE) == 0
    assert np.all(np.isfinite(standardise(X, NONE)))


def test_one_valid_sample_has_no_variance():
    only = jnp.array([False, True, False, False, False])
    assert masked_variance(X, only) == 0
    assert masked_variance(X, only, ddof=1) == 0


def test_effective_sample_size_of_equal_and_of_single_weights():
    assert effective_sample_size(jnp.full(5, 0.3), MASK) == pytest.approx(4)
    assert effective_sample_size(jnp.array([0.0, 5.0, 0.0, 0.0, 0.0]), MASK) == 1
    assert effective_sample_size(jnp.zeros(5), MASK) == 0


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_effective_sample_size_does_not_depend_on_scale(scale):
    np.testing.assert_allclose(effective_sample_size(X * scale, MASK), 144 / 50, rtol=1e-5)


def test_shapes_must_agree():
    with pytest.raises(TypeCheckError):
        masked_mean(X, MASK[:, None])
