"""Minibatches: every sample once per epoch; sequences of consecutive steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.minibatches import scan_minibatches, take_rows, to_samples, training_samples
from ltro_jax.types import CriticBatch


def visited(num_samples, epochs, minibatches, key=0):
    """Which samples each step saw, and how many steps there were."""
    samples = {"index": jnp.arange(num_samples), "vector": jnp.arange(num_samples)[:, None] * jnp.ones((1, 2))}

    def step(count, rows):
        return count + 1, take_rows(samples, rows)

    count, seen = scan_minibatches(jax.random.key(key), 0, step, num_samples, epochs, minibatches)
    np.testing.assert_array_equal(seen["vector"][..., 0], seen["index"])  # leaves are taken alike
    return int(count), np.array(seen["index"])


@pytest.mark.parametrize("minibatches", [2, 3, 12])
def test_every_sample_once_per_epoch(minibatches):
    count, seen = visited(12, 4, minibatches)
    assert count == 4 * minibatches
    assert seen.shape == (4 * minibatches, 12 // minibatches)
    epochs = seen.reshape(4, 12)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(12), (4, 1)))
    assert len(np.unique(epochs, axis=0)) == 4  # shuffled again
    assert np.any(visited(12, 4, minibatches, key=1)[1] != seen)


def test_one_minibatch_is_the_batch_as_it_is():
    count, seen = visited(7, 3, 1)
    assert count == 3
    np.testing.assert_array_equal(seen, np.tile(np.arange(7), (3, 1)))


@pytest.mark.parametrize("minibatches", [1, 3])
def test_no_epochs(minibatches):
    assert visited(6, 0, minibatches)[0] == 0


def test_samples_of_a_rollout():
    rollout = 10 * jnp.arange(6)[:, None] + jnp.arange(2)[None]  # [T, B], 10 · step + environment
    np.testing.assert_array_equal(to_samples(rollout, None), rollout.reshape(-1))
    sequences = [[0, 10, 20], [1, 11, 21], [30, 40, 50], [31, 41, 51]]
    np.testing.assert_array_equal(to_samples(rollout, 3), sequences)


def test_a_sequence_sets_out_from_the_hidden_state_before_its_first_step():
    rollout = 10.0 * jnp.arange(6)[:, None] + jnp.arange(2)[None]
    batch = CriticBatch(rollout[..., None], rollout, rollout, None, jnp.stack([rollout, -rollout], -1), rollout > 20)
    samples = training_samples(batch, 3)
    np.testing.assert_array_equal(samples.hidden, [[0, 0], [1, -1], [30, -30], [31, -31]])
    np.testing.assert_array_equal(np.asarray(samples.hidden)[:, 0], samples.value[:, 0])
    np.testing.assert_array_equal(samples.start, samples.value > 20)
    assert samples.state.shape == (4, 3, 1)


def test_rows_are_taken_on_the_axis_that_holds_them():
    samples = jnp.arange(12).reshape(2, 6)
    np.testing.assert_array_equal(take_rows(samples, jnp.array([4, 1]), axis=1), [[4, 1], [10, 7]])
    assert take_rows(samples, None, axis=1) is samples
