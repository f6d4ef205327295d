"""The optimizers: each against optax on single leaves, clipping by hand, stacks."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ltro_jax.algorithms.optimizer import OPTIMIZERS, gradient_step, init_optimizer
from ltro_jax.config import SETTINGS, Hypers

RATE = 1e-2
PEERS = {
    "adam": optax.adam(RATE, eps=1e-5),
    "adamw": optax.adamw(RATE, eps=1e-5, weight_decay=0.1),
    "rmsprop": optax.rmsprop(RATE, eps=1e-5),
    "sgd": optax.sgd(RATE),
}


def network(scale=1.0):
    generator = np.random.default_rng(0)
    return {
        "a": jnp.asarray(scale * generator.normal(size=(3, 2))),
        "b": {"c": jnp.asarray(scale * generator.normal(size=4))},
    }


def gradients(count):
    generator = np.random.default_rng(1)
    return [jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape)), network()) for _ in range(count)]


def hypers(**settings):
    return jax.tree.map(jnp.asarray, Hypers(actor_lr=RATE).replace(**settings))


def one(tree):
    return jax.tree.map(lambda leaf: leaf[0], tree)


def initial_state(name, params):
    return one(init_optimizer(name, jax.tree.map(lambda leaf: leaf[None], params)))


def assert_close(a, b, rtol=1e-10):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-12)


def test_every_choice_of_the_setting_is_there():
    assert tuple(OPTIMIZERS) == SETTINGS["optimizer"].metadata["choices"] == tuple(PEERS)


@pytest.mark.parametrize("name", PEERS)
def test_against_optax_leaf_by_leaf(name):
    """Traced coefficients on one flat vector step as constants on the leaves."""
    with jax.enable_x64(True):
        ours = theirs = network()
        settings = hypers(weight_decay=0.1, max_grad_norm=1e3)
        state, their_state = initial_state(name, ours), PEERS[name].init(theirs)
        step = jax.jit(gradient_step, static_argnums=0)
        for gradient in gradients(4):
            ours, state, _ = step(name, ours, state, gradient, settings.actor_lr, settings)
            updates, their_state = PEERS[name].update(gradient, their_state, theirs)
            theirs = optax.apply_updates(theirs, updates)
        assert_close(ours, theirs)


def test_clipping_by_hand():
    """‖g‖ = 5 is scaled to 1; a norm below the limit is left alone."""
    params = {"a": jnp.zeros(2), "b": {"c": jnp.zeros((1, 1))}}
    gradient = {"a": jnp.array([3.0, 0.0]), "b": {"c": jnp.array([[4.0]])}}
    for limit, expected in ((1.0, (0.6, 0.8)), (10.0, (3.0, 4.0))):
        after, _, norm = gradient_step(
            "sgd", params, initial_state("sgd", params), gradient, jnp.float32(1.0), hypers(max_grad_norm=limit)
        )
        assert norm == 5.0
        np.testing.assert_allclose([-after["a"][0], -after["b"]["c"][0, 0]], expected, rtol=1e-6)


def test_the_first_step_of_adam_by_hand():
    """Both bias corrections cancel: lr · g / (|g| + ε)."""
    params, gradient, settings = network(), gradients(1)[0], hypers(adam_eps=0.1, max_grad_norm=1e3)
    state = initial_state("adam", params)
    after, _, _ = gradient_step("adam", params, state, gradient, settings.actor_lr, settings)
    for old, new, g in zip(*map(jax.tree.leaves, (params, after, gradient)), strict=True):
        np.testing.assert_allclose(old - new, RATE * g / (np.abs(g) + 0.1), rtol=2e-4, atol=1e-7)


def test_a_stack_steps_like_its_members():
    settings = hypers()
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), network())
    gradient = jax.tree.map(lambda leaf: jnp.stack([leaf, -3 * leaf]), gradients(1)[0])
    state = init_optimizer("adam", stack)
    step = jax.vmap(gradient_step, (None, 0, 0, 0, None, None))
    together = step("adam", stack, state, gradient, settings.actor_lr, settings)
    for index in range(2):
        take = lambda tree, index=index: jax.tree.map(lambda leaf: leaf[index], tree)
        alone = gradient_step("adam", take(stack), take(state), take(gradient), settings.actor_lr, settings)
        assert_close(take(together), alone, rtol=1e-6)


def test_zero_gradients_do_not_move():
    params, settings = network(), hypers()
    zero = jax.tree.map(jnp.zeros_like, params)
    after, _, norm = gradient_step("adam", params, initial_state("adam", params), zero, settings.actor_lr, settings)
    assert norm == 0
    assert_close(after, params, rtol=0)
