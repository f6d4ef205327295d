"""From a rollout to gradient steps: training sequences, and epochs of shuffled minibatches."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ltro_jax.types import AgentBatch, Array, CriticBatch

BatchT = TypeVar("BatchT", AgentBatch, CriticBatch)
Rows = Array | None  # indices `[n]` of the samples in a minibatch; None = all, as they are


def to_samples(tree: Any, length: int | None) -> Any:
    """What can be shuffled: leaves `[T, B, …]` → `[T·B, …]`, or sequences `[T/L·B, L, …]` if a length L is given."""

    def cut(x: Array) -> Array:
        if length is None:
            return x.reshape(-1, *x.shape[2:])
        num_steps, num_envs, *rest = x.shape
        return x.reshape(num_steps // length, length, num_envs, *rest).swapaxes(1, 2).reshape(-1, length, *rest)

    return jax.tree.map(cut, tree)


def training_samples(batch: BatchT, length: int | None) -> BatchT:
    """As `to_samples`; each sequence keeps the hidden state before its first step, `[T, B, …]` → `[T/L·B, …]`."""
    hidden = jax.tree.map(lambda leaf: leaf[::length].reshape(-1, *leaf.shape[2:]), batch.hidden)
    return to_samples(batch.replace(hidden=()), length).replace(hidden=hidden)


def take(tree: Any, rows: Rows, axis: int = 0) -> Any:
    """The samples `rows` of leaves that have them on `axis`."""
    return tree if rows is None else jax.tree.map(lambda x: x.take(rows, axis, mode="clip"), tree)


def shuffled(key: Array, num_samples: int) -> Array:
    """0 … n−1 in random order, `[n]` uint32, by one sort of single words: random high bits, the number in the low ones.

    `jax.random.permutation` sorts pairs twice, which took a quarter of an iteration with 16 small minibatches on a CPU.
    Where high bits coincide the order stays; they are 32 − log₂ n.
    """
    low = (num_samples - 1).bit_length()
    words = jax.random.bits(key, (num_samples,)) >> low << low | jnp.arange(num_samples, dtype=jnp.uint32)
    return jnp.sort(words) & ((1 << low) - 1)


def scan_minibatches(
    key: Array,
    carry: Any,
    step: Callable[[Any, Rows], tuple[Any, Any]],
    num_samples: int,
    num_epochs: int,
    num_minibatches: int,
) -> tuple[Any, Any]:
    """Run `step(carry, rows) → (carry, info)` over minibatches of the samples, freshly shuffled in each epoch.

    One minibatch is the whole batch: it is not shuffled, which would only reorder a sum.

    Args:
        key: typed key for the permutations.
        num_samples: n, divisible by `num_minibatches`.
    Returns:
        The last carry, and the infos stacked `[num_epochs · num_minibatches, …]`.
    """
    if num_minibatches == 1:
        return jax.lax.scan(lambda c, _: step(c, None), carry, length=num_epochs)

    def epoch(carry: Any, epoch_key: Array) -> tuple[Any, Any]:
        indices = shuffled(epoch_key, num_samples).reshape(num_minibatches, -1)
        return jax.lax.scan(step, carry, indices)

    carry, infos = jax.lax.scan(epoch, carry, jax.random.split(key, num_epochs))
    return carry, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), infos)
