"""Recurrent cores: the GRU and LSTM of flax, with resets; a step at a time or a sequence at once."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ltro_jax.config import Hypers
from ltro_jax.networks import GRU, LSTM, apply_agents, make_actor, make_critic

L, B, SIZE, WIDTH = 7, 3, 5, 4
HYPERS = jax.tree.map(np.float32, Hypers())


def rows(seed=0):
    """Inputs `[B, L, I]`, a hidden state and starts of episodes; the first sequence has a start in its middle."""
    generator = np.random.default_rng(seed)
    start = np.zeros((B, L), bool)
    start[0, 3] = start[1, 0] = start[1, 6] = True
    x = generator.normal(size=(B, L, SIZE)).astype(np.float32)
    return x, generator.normal(size=(B, WIDTH)).astype(np.float32), start


def gru_params(seed=1):
    generator = np.random.default_rng(seed)
    shapes = {
        "input_kernel": (SIZE, 3 * WIDTH),
        "input_bias": (3 * WIDTH,),
        "recurrent_kernel": (WIDTH, 3 * WIDTH),
        "candidate_bias": (WIDTH,),
    }
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_it_is_the_gru_of_flax():
    """Gate by gate, one step after another, the hidden state zeroed at every start."""
    (x, hidden, start), ours = rows(), gru_params()
    blocks = [np.s_[..., index * WIDTH : (index + 1) * WIDTH] for index in range(3)]
    theirs = {
        f"i{gate}": {"kernel": ours["input_kernel"][block], "bias": ours["input_bias"][block]}
        for gate, block in zip("rzn", blocks, strict=True)
    }
    theirs |= {
        f"h{gate}": {"kernel": ours["recurrent_kernel"][block]} for gate, block in zip("rzn", blocks, strict=True)
    }
    theirs["hn"]["bias"] = ours["candidate_bias"]
    output, after = GRU(WIDTH).apply({"params": ours}, x, hidden, start)
    assert output is after
    cell, expected = nn.GRUCell(WIDTH), hidden
    for step in range(L):
        expected = np.where(start[:, step, None], 0.0, expected)
        expected, _ = cell.apply({"params": theirs}, expected, x[:, step])  # type: ignore[misc]
        np.testing.assert_allclose(after[:, step], expected, rtol=1e-5, atol=1e-6)  # type: ignore[index]


def test_it_is_the_lstm_of_flax():
    """Gate by gate, one step after another, both parts of the hidden state zeroed at every start."""
    x, hidden, start = rows()
    generator = np.random.default_rng(1)
    shapes = {"input_kernel": (SIZE, 4 * WIDTH), "input_bias": (4 * WIDTH,), "recurrent_kernel": (WIDTH, 4 * WIDTH)}
    ours = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    theirs = {}
    for index, gate in enumerate("ifgo"):
        block = np.s_[..., index * WIDTH : (index + 1) * WIDTH]
        theirs[f"i{gate}"] = {"kernel": ours["input_kernel"][block]}
        theirs[f"h{gate}"] = {"kernel": ours["recurrent_kernel"][block], "bias": ours["input_bias"][block]}
    initial = (rows(2)[1], hidden)
    output, after = cast(Any, LSTM(WIDTH).apply({"params": ours}, x, initial, start))
    assert output is after[1] and [leaf.shape for leaf in after] == [(B, L, WIDTH)] * 2
    cell, expected = nn.LSTMCell(WIDTH), initial
    for step in range(L):
        expected = jax.tree.map(lambda leaf, step=step: np.where(start[:, step, None], 0.0, leaf), expected)
        expected, _ = cell.apply({"params": theirs}, expected, x[:, step])  # type: ignore[misc]
        for own, other in zip(after, expected, strict=True):
            np.testing.assert_allclose(own[:, step], other, rtol=1e-5, atol=1e-6)


def test_an_lstm_actor_step_by_step_is_the_sequence_at_once():
    """For two agents with parameters of their own; the hidden state is a pair."""
    x, _, start = rows()
    actor = make_actor([SIZE] * 2, [3] * 2, True, (WIDTH,), LSTM)
    params = jax.jit(actor.init)(jax.random.key(0), HYPERS)
    lstm = params["params"]["lstm"]
    for kernel in (*lstm["input_kernel"], *lstm["recurrent_kernel"]):
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(WIDTH), atol=1e-5)
    available = np.ones((B, L, 3), bool)
    hidden = actor.initial_hidden((B,))
    together = jax.vmap(lambda own: actor.unroll(own, x, hidden, start, available, None, HYPERS).logits)(params)  # type: ignore
    assert together.shape == (2, B, L, 3)
    step_of = jax.jit(lambda x, hidden: apply_agents(actor, params, x, hidden, available[:, :2], None, HYPERS))
    hidden = actor.initial_hidden((B, 2))
    for step in range(L):
        hidden = jax.tree.map(lambda leaf, step=step: jnp.where(start[:, step, None, None], 0.0, leaf), hidden)
        alone, hidden = step_of(np.stack([x[:, step]] * 2, 1), hidden)
        assert [leaf.shape for leaf in hidden] == [(B, 2, WIDTH)] * 2
        np.testing.assert_allclose(together[:, :, step], alone.logits.swapaxes(0, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_an_actor_step_by_step_is_the_sequence_at_once(padded):
    (x, hidden, start) = rows()
    actor = make_actor([SIZE, SIZE + 2 * padded], [3, 3], True, (6, WIDTH), GRU)
    params = jax.tree.map(lambda leaf: leaf[0], jax.jit(actor.init)(jax.random.key(0), HYPERS))
    x = np.pad(x, [(0, 0), (0, 0), (0, 2 * padded)])
    entries = np.arange(SIZE + 2) < SIZE if padded else None
    available = np.random.default_rng(2).random((B, L, 3)) < 0.7
    available[..., 0] = True
    assert actor.recurrent and np.shape(actor.initial_hidden((B, 2))) == (B, 2, WIDTH)
    together = actor.unroll(params, x, hidden, start, available, entries, HYPERS)
    for step in range(L):
        hidden = jnp.where(start[:, step, None], 0.0, hidden)
        alone, hidden = actor.apply(params, x[:, step], hidden, available[:, step], entries, HYPERS)
        assert alone.logits.shape == (B, 3) and hidden.shape == (B, WIDTH)  # type: ignore[union-attr]
        np.testing.assert_allclose(together.logits[:, step], alone.logits, rtol=1e-5, atol=1e-6)  # type: ignore


def test_initial_kernels_are_orthogonal_with_all_gates_side_by_side():
    actor = make_actor([SIZE] * 2, [3] * 2, False, (6, WIDTH), GRU)
    critic = make_critic([SIZE], (6, WIDTH), GRU)
    for params in (jax.jit(actor.init)(jax.random.key(0), HYPERS), jax.jit(critic.init)(jax.random.key(0))):
        gru = params["params"]["gru"]
        for kernel in (*gru["input_kernel"], *gru["recurrent_kernel"]):
            np.testing.assert_allclose(kernel @ kernel.T, np.eye(WIDTH), atol=1e-5)
        assert not gru["input_bias"].any() and not gru["candidate_bias"].any()
        assert (params["params"]["gru_norm"]["scale"] == 1).all()
