"""Epochs of shuffled minibatches, shared by actor and critic."""

from collections.abc import Callable
from typing import Any

import jax

from ltro_jax.types import Array


def scan_minibatches(
    key: Array,
    carry: Any,
    samples: Any,
    step: Callable[[Any, Any], tuple[Any, Any]],
    num_epochs: int,
    num_minibatches: int,
) -> tuple[Any, Any]:
    """Run `step(carry, minibatch) → (carry, info)` over the samples, freshly shuffled in each epoch.

    One minibatch is the whole batch: it is not shuffled, which would only reorder a sum.

    Args:
        key: typed key for the permutations.
        samples: leaves `[n, …]`, n divisible by `num_minibatches`.
    Returns:
        The last carry, and the infos stacked `[num_epochs · num_minibatches, …]`.
    """
    if num_minibatches == 1:
        return jax.lax.scan(lambda c, _: step(c, samples), carry, length=num_epochs)
    num_samples = jax.tree.leaves(samples)[0].shape[0]

    def epoch(carry: Any, epoch_key: Array) -> tuple[Any, Any]:
        indices = jax.random.permutation(epoch_key, num_samples).reshape(num_minibatches, -1)
        return jax.lax.scan(lambda c, rows: step(c, jax.tree.map(lambda x: x[rows], samples)), carry, indices)

    carry, infos = jax.lax.scan(epoch, carry, jax.random.split(key, num_epochs))
    return carry, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), infos)
