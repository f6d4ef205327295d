"""Minibatches: every sample once per epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.minibatches import scan_minibatches


def visited(num_samples, epochs, minibatches, key=0):
    """Which samples each step saw, and how many steps there were."""
    samples = {"index": jnp.arange(num_samples), "vector": jnp.arange(num_samples)[:, None] * jnp.ones(2)}

    def step(count, minibatch):
        return count + 1, minibatch

    count, seen = scan_minibatches(jax.random.key(key), 0, samples, step, epochs, minibatches)
    np.testing.assert_array_equal(seen["vector"][..., 0], seen["index"])  # leaves are taken alike
    return int(count), np.array(seen["index"])


@pytest.mark.parametrize("minibatches", [2, 3, 12])
def test_every_sample_once_per_epoch(minibatches):
    count, seen = visited(12, 4, minibatches)
    assert count == 4 * minibatches
    assert seen.shape == (4 * minibatches, 12 // minibatches)
    epochs = seen.reshape(4, 12)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(12), (4, 1)))
    assert len(np.unique(epochs, axis=0)) == 4  # shuffled anew
    assert np.any(visited(12, 4, minibatches, key=1)[1] != seen)


def test_one_minibatch_is_the_batch_as_it_is():
    count, seen = visited(7, 3, 1)
    assert count == 3
    np.testing.assert_array_equal(seen, np.tile(np.arange(7), (3, 1)))


@pytest.mark.parametrize("minibatches", [1, 3])
def test_no_epochs(minibatches):
    assert visited(6, 0, minibatches)[0] == 0
