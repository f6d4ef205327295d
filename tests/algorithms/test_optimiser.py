"""Adam: by hand, against optax in float64, and its bias correction in float32."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ltro_jax.algorithms.optimiser import adam_step, init_adam
from ltro_jax.config import Hypers


def network(dtype=np.float32):
    generator = np.random.default_rng(0)
    return {
        "a": jnp.asarray(generator.normal(size=(3, 2)), dtype),
        "b": {"c": jnp.asarray(generator.normal(size=4), dtype)},
    }


def gradients(count, dtype=np.float32):
    generator = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), dtype)
    return [jax.tree.map(draw, network()) for _ in range(count)]


def steps(params, count, dtype=np.float32, **settings):
    """Parameters and gradient norm after `count` steps."""
    hypers = jax.tree.map(lambda x: jnp.asarray(x, dtype), Hypers(actor_lr=1e-2).replace(**settings))
    stack = jax.tree.map(lambda leaf: leaf[None], params)
    state, norm = jax.tree.map(lambda leaf: leaf[0], init_adam(stack)), None
    step = jax.jit(adam_step)
    for gradient in gradients(count, dtype):
        params, state, norm = step(params, state, gradient, hypers.actor_lr, hypers)
    assert state.count == count
    return params, norm


def test_the_first_step_by_hand():
    """Both corrections cancel: lr · g / (|g| + ε)."""
    after, norm = steps(network(), 1, adam_eps=0.1, max_grad_norm=1e3)
    for old, new, gradient in zip(*map(jax.tree.leaves, (network(), after, gradients(1)[0])), strict=True):
        np.testing.assert_allclose(old - new, 1e-2 * gradient / (np.abs(gradient) + 0.1), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(norm, optax.tree.norm(gradients(1)[0]), rtol=1e-6)


@pytest.mark.parametrize("max_grad_norm", [1e3, 0.5])
def test_against_optax(max_grad_norm):
    with jax.enable_x64(True):
        params = network(np.float64)
        ours, _ = steps(params, 6, np.float64, max_grad_norm=max_grad_norm)
        adam = optax.adam(1e-2, eps=1e-5)
        state = adam.init(params)
        for gradient in gradients(6, np.float64):
            norm = optax.tree.norm(gradient)
            clipped = jax.tree.map(
                lambda leaf, norm=norm: leaf * jnp.minimum(1, max_grad_norm / (norm + 1e-6)), gradient
            )
            change, state = adam.update(clipped, state)
            params = optax.apply_updates(params, change)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_float32_keeps_the_bias_correction(count):
    """1 − 0.999ᵗ loses five digits if it is formed in float32; the steps would all be off by 6e-6 of their length."""
    zero = jax.tree.map(jnp.zeros_like, network())
    single, _ = steps(zero, count, max_grad_norm=1e3)
    with jax.enable_x64(True):
        zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, np.float64), zero)
        double, _ = steps(zero, count, np.float64, max_grad_norm=1e3)
    for a, b in zip(*(map(np.asarray, jax.tree.leaves(tree)) for tree in (single, double)), strict=True):
        assert b.dtype == np.float64
        assert np.linalg.norm(a - b) < 1e-6 * np.linalg.norm(b)


def test_a_stack_steps_like_its_members():
    hypers = jax.tree.map(jnp.float32, Hypers())
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), network())
    gradient = jax.tree.map(lambda leaf: jnp.stack([leaf, -3 * leaf]), gradients(1)[0])
    state = init_adam(stack)
    assert state.count.shape == (2,)
    together = jax.vmap(adam_step, (0, 0, 0, None, None))(stack, state, gradient, jnp.float32(1e-2), hypers)
    for index in range(2):
        take = lambda tree, index=index: jax.tree.map(lambda leaf: leaf[index], tree)
        alone = adam_step(take(stack), take(state), take(gradient), jnp.float32(1e-2), hypers)
        for a, b in zip(jax.tree.leaves(take(together)), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_zero_gradients_do_not_move():
    params, hypers = network(), jax.tree.map(jnp.float32, Hypers())
    state = jax.tree.map(lambda leaf: leaf[0], init_adam(jax.tree.map(lambda leaf: leaf[None], params)))
    after, _, norm = adam_step(params, state, jax.tree.map(jnp.zeros_like, params), hypers.actor_lr, hypers)
    assert norm == 0
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)
