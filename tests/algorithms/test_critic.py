"""The critic update: normaliser first, regression second, every critic for itself."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ltro_jax.algorithms.critic import critic_update, update_critics
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_critic
from ltro_jax.ops import clipped_value_loss, init_value_norm, normalise, update_value_norm
from ltro_jax.ops.value_norm import BETA
from ltro_jax.types import CriticBatch, CriticState

C, T, B, SIZE = 2, 6, 4, 5
KEY = jax.random.key(0)
HYPERS = jax.tree.map(np.float32, Hypers(critic_lr=1e-2))
CRITIC = make_critic([SIZE] * C, (8,))


def one(stack, index=0):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], stack)


@lru_cache
def problem():
    generator = np.random.default_rng(0)
    params = jax.jit(CRITIC.init)(KEY)
    value_norm = jax.tree.map(lambda leaf: np.zeros(C, np.float32), init_value_norm())
    inputs = generator.normal(size=(C, T, B, SIZE)).astype(np.float32)
    value = jax.jit(jax.vmap(lambda p, x: CRITIC.unroll(p, x, (), None, None)[0]))(params, inputs)
    target = generator.normal(3.0, 2.0, (C, T, B)).astype(np.float32)
    return CriticState(params, init_optimizer("adam", params), value_norm), CriticBatch(inputs, value, target, None)


@lru_cache
def program(epochs, minibatches=1):
    static = Static(critic_epochs=epochs, critic_minibatches=minibatches)
    return jax.jit(lambda key, state, batch: critic_update(key, state, batch, CRITIC, static, HYPERS))


def test_targets_are_normalised_by_the_updated_statistics():
    """The first reported loss, by hand."""
    state, batch = one(problem())
    after, info = program(1)(KEY, state, batch)
    value_norm = update_value_norm(state.value_norm, batch.value_target)
    for ours, theirs in zip(after.value_norm, value_norm, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    target = normalise(value_norm, batch.value_target)
    expected = clipped_value_loss(batch.value, batch.value, target, HYPERS.clip_eps, HYPERS.huber_delta)
    np.testing.assert_allclose(info.value_loss, [expected], rtol=1e-5)
    assert abs(float(jnp.mean(target))) < 1e-3


def test_the_normaliser_is_updated_at_every_step():
    state, batch = one(problem())
    for epochs, minibatches in ((1, 1), (5, 1), (2, 3)):
        after, info = program(epochs, minibatches)(KEY, state, batch)
        count = epochs * minibatches
        np.testing.assert_allclose(after.value_norm.debias, 1 - BETA**count, rtol=1e-2 / count)
        assert info.value_loss.shape == info.grad_norm.shape == (count,)
        assert optax.tree.get(after.opt_state, "count") == count


def test_the_loss_falls():
    _, info = program(5)(KEY, *one(problem()))
    assert np.all(np.diff(info.value_loss) < 0)


def test_without_epochs_nothing_moves():
    state, batch = one(problem())
    after, _ = program(0)(KEY, state, batch)
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(new, old)


def test_every_critic_learns_for_itself():
    state, batch = problem()
    together, info = jax.jit(
        lambda key, state, batch: update_critics(key, state, batch, CRITIC, Static(critic_epochs=1), HYPERS)
    )(KEY, state, batch)
    assert info.value_loss.shape == (C, 1)
    for index in range(C):
        alone, own_info = program(1)(KEY, one(state, index), one(batch, index))
        np.testing.assert_allclose(info.value_loss[index], own_info.value_loss, rtol=1e-5)
        for ours, theirs in zip(jax.tree.leaves(one(together, index)), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_old_values_hold_the_new_ones_back():
    """Beyond ε from the stored value the clipped error is the larger one and has no gradient."""
    state, batch = one(problem())
    far = batch.replace(value=batch.value + 100.0)
    after, info = program(1)(KEY, state, far)
    np.testing.assert_array_equal(info.grad_norm, [0.0])
    for new, old in zip(jax.tree.leaves(after.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(new, old)
