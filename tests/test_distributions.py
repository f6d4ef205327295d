"""Distributions against scipy, closed forms and Monte Carlo; what a mask hides has no influence."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ltro_jax.distributions import Categorical, DiagonalGaussian, gaussian_std

NUM_DRAWS = 20_000


def random_mask(generator, shape):
    """At least one action is available everywhere."""
    mask = generator.random(shape) < 0.5
    mask[np.arange(shape[0]), generator.integers(shape[-1], size=shape[0])] = True
    return mask


def random_categorical(seed, shape=(6, 5), scale=2.0, mask=None):
    generator = np.random.default_rng(seed)
    mask = random_mask(generator, shape) if mask is None else mask
    return Categorical.create(generator.normal(size=shape).astype(np.float32) * scale, mask), mask


def random_gaussian(seed, shape=(6, 3), mask=None):
    generator = np.random.default_rng(seed)
    mean = generator.normal(size=shape).astype(np.float32)
    std = np.exp(generator.normal(size=shape)).astype(np.float32)
    return DiagonalGaussian(mean, std, np.ones(shape, bool) if mask is None else mask)


@jax.jit
def log_ratio_draws(p, q):
    """log p − log q at draws from p: their mean estimates KL(p ‖ q)."""
    draws = jax.vmap(p.sample)(jax.random.split(jax.random.key(0), NUM_DRAWS))
    return jax.vmap(lambda action: p.log_prob(action) - q.log_prob(action))(draws)


# ---- categorical


def test_categorical_log_prob_and_entropy_against_scipy():
    policy, mask = random_categorical(0)
    probabilities = np.array(jnp.exp(policy.logits))
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)
    assert np.all(probabilities[~mask] == 0)
    np.testing.assert_allclose(policy.entropy(), scipy.stats.entropy(probabilities, axis=-1), rtol=1e-5, atol=1e-6)
    action = np.argmax(mask, axis=-1)
    expected = np.log(np.take_along_axis(probabilities, action[:, None], -1)[:, 0])
    np.testing.assert_allclose(policy.log_prob(action), expected, rtol=1e-5, atol=1e-6)


def test_categorical_equals_one_over_the_available_actions_alone():
    logits, mask = np.array([0.3, -1.0, 2.0, 0.5], np.float32), np.array([True, False, True, False])
    masked, alone = Categorical.create(logits, mask), Categorical.create(logits[mask], np.ones(2, bool))
    np.testing.assert_allclose(masked.logits[mask], alone.logits, rtol=1e-6)
    np.testing.assert_allclose(masked.entropy(), alone.entropy(), rtol=1e-6)


def test_categorical_entropy_of_uniform_and_of_certain():
    uniform = Categorical.create(jnp.zeros(8), jnp.arange(8) < 4)
    np.testing.assert_allclose(uniform.entropy(), np.log(4), rtol=1e-6)
    certain = Categorical.create(jnp.zeros(8), jnp.arange(8) == 3)
    assert certain.entropy() == 0
    assert certain.mode() == 3


def test_categorical_kl():
    """Closed form, zero to itself, positive to others, Monte Carlo within five standard errors."""
    p, mask = random_categorical(1)
    q, _ = random_categorical(2, mask=mask)
    probabilities_p, probabilities_q = (np.array(jnp.exp(x.logits), np.float64) for x in (p, q))
    np.testing.assert_allclose(
        p.kl(q), scipy.stats.entropy(probabilities_p, probabilities_q, axis=-1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(p.kl(p), np.zeros(6))
    estimates = np.array(log_ratio_draws(p, q))
    standard_error = estimates.std(0) / np.sqrt(NUM_DRAWS)
    assert np.all(np.abs(estimates.mean(0) - p.kl(q)) <= 5 * standard_error + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_sampling_never_picks_an_unavailable_action(seed):
    """Even where the network strongly prefers it; frequencies follow the probabilities."""
    generator = np.random.default_rng(seed)
    mask = random_mask(generator, (20, 7))
    policy = Categorical.create(jnp.asarray(generator.normal(size=(20, 7)) + 50.0 * ~mask, jnp.float32), mask)
    draws = np.array(jax.jit(jax.vmap(policy.sample))(jax.random.split(jax.random.key(seed), 2000)))
    assert draws.dtype == np.int32
    assert np.all(mask[np.arange(20), draws])
    assert np.all(mask[np.arange(20), policy.mode()])
    frequencies = np.stack([(draws == action).mean(0) for action in range(7)], -1)
    np.testing.assert_allclose(frequencies, np.exp(policy.logits), atol=0.06)


def test_categorical_gradients_are_finite_and_zero_for_unavailable_actions():
    generator = np.random.default_rng(3)
    logits, mask = generator.normal(size=(6, 5)).astype(np.float32), random_mask(generator, (6, 5))
    action = np.argmax(mask, axis=-1)
    old, _ = random_categorical(4, mask=mask)

    def gradient(function):
        return np.array(jax.jit(jax.grad(lambda x: jnp.sum(function(Categorical.create(x, mask)))))(logits))

    for function in (lambda p: p.log_prob(action), lambda p: p.entropy(), lambda p: old.kl(p)):
        slope = gradient(function)
        assert np.all(np.isfinite(slope))
        np.testing.assert_allclose(slope[~mask], 0, atol=1e-7)
    assert np.all(np.isfinite(gradient(lambda p: p.log_prob(np.argmin(mask, axis=-1)))))  # unavailable ones


def test_nothing_available_is_uniform_not_nan():
    """A dead agent may have no available action at all."""
    policy = Categorical.create(jnp.arange(4.0), jnp.zeros(4, bool))
    np.testing.assert_allclose(jnp.exp(policy.logits), 0.25)
    assert np.isfinite(policy.entropy())


# ---- Gaussian


def test_gaussian_against_scipy():
    policy = random_gaussian(0)
    action = np.random.default_rng(9).normal(size=(6, 3)).astype(np.float32)
    each = scipy.stats.norm(policy.mean, policy.std)
    np.testing.assert_allclose(policy.log_prob(action), each.logpdf(action).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(policy.entropy(), each.entropy().sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(policy.mode(), policy.mean)


def test_gaussian_kl():
    """By hand, zero to itself, Monte Carlo within five standard errors."""
    mask = np.ones(1, bool)
    p, q = DiagonalGaussian(np.zeros(1), np.ones(1), mask), DiagonalGaussian(np.ones(1), np.full(1, 2.0), mask)
    np.testing.assert_allclose(p.kl(q), np.log(2) + (1 + 1) / 8 - 0.5, rtol=1e-6)
    p, q = random_gaussian(1), random_gaussian(2)
    np.testing.assert_allclose(p.kl(p), np.zeros(6), atol=1e-6)
    estimates = np.array(log_ratio_draws(p, q))
    standard_error = estimates.std(0) / np.sqrt(NUM_DRAWS)
    assert np.all(np.abs(estimates.mean(0) - p.kl(q)) <= 5 * standard_error + 1e-5)


def test_gaussian_samples_have_the_mean_and_deviation():
    policy = random_gaussian(3)
    draws = np.array(jax.jit(jax.vmap(policy.sample))(jax.random.split(jax.random.key(1), NUM_DRAWS)))
    np.testing.assert_allclose((draws.mean(0) - policy.mean) / policy.std, 0, atol=0.05)
    np.testing.assert_allclose(draws.std(0) / policy.std, 1, atol=0.05)


def test_padded_dimensions_matter_not():
    """Values, gradients and draws of a padded Gaussian are those of its true dimensions."""
    mask = np.array([True, True, False])
    wide, other = random_gaussian(4, mask=mask), random_gaussian(5, mask=mask)
    narrow, other_narrow = (DiagonalGaussian(x.mean[:, :2], x.std[:, :2], np.ones(2, bool)) for x in (wide, other))
    action = np.random.default_rng(6).normal(size=(6, 3)).astype(np.float32)
    for poison in (np.nan, np.inf, 1e30):
        poisoned = np.where(mask, action, np.float32(poison))
        np.testing.assert_array_equal(wide.log_prob(poisoned), narrow.log_prob(action[:, :2]))
    np.testing.assert_allclose(wide.entropy(), narrow.entropy(), rtol=1e-6)
    np.testing.assert_allclose(wide.kl(other), narrow.kl(other_narrow), rtol=1e-6)
    assert np.all(wide.sample(jax.random.key(0))[:, 2] == 0)
    assert np.all(wide.mode()[:, 2] == 0)

    def total(mean, std):
        policy = DiagonalGaussian(mean, std, mask)
        return jnp.sum(policy.log_prob(action) + policy.entropy() + policy.kl(other))

    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(wide.mean, wide.std):
        assert np.all(np.isfinite(gradient))
        assert np.all(gradient[:, 2] == 0)


def test_gaussian_std():
    np.testing.assert_allclose(
        gaussian_std(jnp.array([0.0, 1.0, 100.0]), 1.0, 0.5), [0.25, 0.5 / (1 + np.exp(-1)), 0.5]
    )
    np.testing.assert_allclose(gaussian_std(jnp.array(2.0), 4.0, 3.0), 3 / (1 + np.exp(-0.5)), rtol=1e-6)


# ---- moments of the ratio


def test_ratio_moments_of_categoricals_by_hand():
    p, mask = random_categorical(5)
    q, _ = random_categorical(6, mask=mask)
    probabilities_p, probabilities_q = (np.array(jnp.exp(x.logits), np.float64) for x in (p, q))
    ratio = np.divide(probabilities_q, probabilities_p, out=np.zeros_like(probabilities_p), where=mask)
    for power in (2, 4):
        expected = np.log((probabilities_p * ratio**power).sum(-1))
        np.testing.assert_allclose(p.log_ratio_moment(q, power), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p.log_ratio_moment(q, 1), 0.0, atol=1e-5)
    np.testing.assert_allclose(p.log_ratio_moment(p, 2), 0.0, atol=1e-5)


def test_ratio_moments_of_gaussians_by_quadrature():
    """Two dimensions, one of them padding; and none where the new policy is too wide."""
    mask = np.array([True, False])
    p = DiagonalGaussian(np.array([0.2, 3.0]), np.array([0.5, 1.0]), mask)
    q = DiagonalGaussian(np.array([0.5, -3.0]), np.array([0.45, 9.0]), mask)
    x = np.linspace(-8.0, 8.0, 200_001)
    old, new = (scipy.stats.norm(d.mean[0], d.std[0]).logpdf(x) for d in (p, q))
    for power in (2, 4):
        expected = np.log(np.trapezoid(np.exp(power * new - (power - 1) * old), x))
        np.testing.assert_allclose(p.log_ratio_moment(q, power), expected, rtol=1e-4)
    wide = q.replace(std=np.array([0.75, 1.0]))
    assert p.log_ratio_moment(wide, 2) == np.inf
    assert np.isfinite(p.log_ratio_moment(q.replace(std=np.array([0.6, 1.0])), 2))
    assert p.log_ratio_moment(q.replace(std=np.array([0.6, 1.0])), 4) == np.inf
