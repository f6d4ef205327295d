"""Surrogate and value loss: hand arithmetic, reductions, gradients against finite differences."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from ltro_jax.ops import clipped_surrogate, clipped_value_loss


def samples(shape=(6, 3), seed=0, dtype=np.float32):
    generator = np.random.default_rng(seed)
    ratio = np.exp(generator.normal(size=shape) * 0.4).astype(dtype)
    advantage = generator.normal(size=shape).astype(dtype)
    weight = np.exp(generator.normal(size=shape)).astype(dtype)
    mask = generator.random(shape) < 0.7
    return ratio, advantage, weight, mask


def finite_difference(function, x, step=1e-6):
    """Central differences of a scalar function of an array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


def test_surrogate_by_hand():
    """ε = 1/4. Clipped up with A > 0, not with A < 0; clipped down with A < 0, not with A > 0; one sample is dead."""
    value = clipped_surrogate(
        ratio=jnp.array([2.0, 2.0, 0.5, 0.5, 7.0]),
        advantage=jnp.array([1.0, -1.0, -2.0, 2.0, 9.0]),
        weight=jnp.array([1.0, 0.5, 2.0, 4.0, 9.0]),
        clip_eps=0.25,
        mask=jnp.array([True, True, True, True, False]),
    )
    terms = [1.0 * 1.25, 0.5 * -2.0, 2.0 * (-2 * 0.75), 4.0 * 1.0]
    assert value == sum(terms) / 4


def test_surrogate_takes_the_min_before_the_weight():
    """A weight of 0 silences a sample, and doubling all weights doubles the objective."""
    ratio, advantage, weight, mask = samples()
    value = clipped_surrogate(ratio, advantage, weight, 0.2, mask)
    np.testing.assert_allclose(clipped_surrogate(ratio, advantage, 2 * weight, 0.2, mask), 2 * value, rtol=1e-6)
    assert clipped_surrogate(ratio, advantage, np.zeros_like(weight), 0.2, mask) == 0


def test_weight_one_is_ppo():
    ratio, advantage, weight, mask = samples()
    terms = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    value = clipped_surrogate(ratio, advantage, np.ones_like(weight), 0.2, mask)
    np.testing.assert_allclose(value, terms[mask].mean(), rtol=1e-5)


def test_gradient_against_finite_differences():
    with jax.enable_x64(True):
        ratio, advantage, weight, mask = samples(dtype=np.float64)
        objective = lambda r: clipped_surrogate(r, advantage, weight, 0.2, mask)
        gradient = jax.grad(objective)(ratio)
        np.testing.assert_allclose(gradient, finite_difference(objective, ratio), atol=1e-8)
        assert np.all(gradient[~mask] == 0)
        clipped = np.where(advantage > 0, ratio > 1.2, ratio < 0.8)
        assert np.any(clipped & mask)
        assert np.all(gradient[clipped] == 0)
        np.testing.assert_allclose(gradient[~clipped], (mask * weight * advantage / mask.sum())[~clipped])


def test_neither_advantage_nor_weight_is_differentiated():
    ratio, advantage, weight, mask = samples()
    gradients = jax.grad(lambda a, w: clipped_surrogate(ratio, a, w, 0.2, mask), argnums=(0, 1))(advantage, weight)
    assert all(np.all(gradient == 0) for gradient in gradients)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_dead_samples_never_matter(poison):
    ratio, advantage, weight, mask = samples()
    objective = lambda r, a, w: clipped_surrogate(r, a, w, 0.2, mask)
    clean = jax.value_and_grad(objective)(ratio, advantage, weight)
    dirty = jax.value_and_grad(objective)(ratio, *(np.where(mask, x, poison) for x in (advantage, weight)))
    np.testing.assert_array_equal(dirty[0], clean[0])
    np.testing.assert_array_equal(dirty[1], clean[1])
    assert np.all(dirty[1][~mask] == 0)


def test_all_dead_gives_zero_and_finite_gradients():
    ratio, advantage, weight, mask = samples()
    objective = lambda r: clipped_surrogate(r, advantage, weight, 0.2, np.zeros_like(mask))
    value, gradient = jax.value_and_grad(objective)(ratio)
    assert value == 0
    assert np.all(gradient == 0)


def test_shapes_must_agree():
    ratio, advantage, weight, mask = samples()
    with pytest.raises(TypeCheckError):
        clipped_surrogate(ratio, advantage[..., None], weight, 0.2, mask)


def test_value_loss_by_hand():
    """ε = 1/2, δ = 2. Inside the clip; moved towards the target beyond it; moved away beyond it."""
    value, old_value, target = jnp.array([1.25, 3.0, -2.0]), jnp.array([1.0, 1.0, 0.0]), jnp.array([2.25, 3.0, 1.0])
    terms = [
        1 / 2,  # both errors are 1
        1.5**2 / 2,  # no error, but the clipped value 1.5 is off by 1.5
        2 * (3 - 1),  # off by 3, in the linear part; the clipped value −0.5 is off by 1.5 only
    ]
    assert clipped_value_loss(value, old_value, target, 0.5, 2.0) == sum(terms) / 3


def test_value_loss_is_plain_huber_while_values_stay_near():
    generator = np.random.default_rng(1)
    old_value, target = generator.normal(size=(2, 7)).astype(np.float32)
    value = old_value + np.float32(0.1)
    loss = clipped_value_loss(value, old_value, target, 0.2, 10.0)
    np.testing.assert_allclose(loss, 0.5 * np.mean((target - value) ** 2), rtol=1e-5)


def test_value_loss_gradient_against_finite_differences():
    with jax.enable_x64(True):
        old_value, target, change = np.random.default_rng(2).normal(size=(3, 8))
        loss = lambda v: clipped_value_loss(v, old_value, target, 0.3, 0.8)
        value = old_value + 0.5 * change
        np.testing.assert_allclose(jax.grad(loss)(value), finite_difference(loss, value), atol=1e-8)
