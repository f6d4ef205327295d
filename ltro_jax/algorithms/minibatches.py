"""From a rollout to gradient steps: training sequences, and epochs of shuffled minibatches."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Integer, Key, UInt

from ltro_jax.types import AgentBatch, Array, CriticBatch

BatchT = TypeVar("BatchT", AgentBatch, CriticBatch)
TreeT = TypeVar("TreeT")
CarryT = TypeVar("CarryT")
InfoT = TypeVar("InfoT")
Rows = Integer[Array, " n"] | None  # indices of the samples in a minibatch; None = all samples, in their order


def to_samples(tree: TreeT, length: int | None) -> TreeT:
    """Flatten a rollout: leaves `[T, B, …]` → samples `[T·B, …]`, or sequences `[T/L·B, L, …]` of length L."""

    def cut(x: Array) -> Array:
        if length is None:
            return x.reshape(-1, *x.shape[2:])
        num_steps, num_envs, *rest = x.shape
        return x.reshape(num_steps // length, length, num_envs, *rest).swapaxes(1, 2).reshape(-1, length, *rest)

    return jax.tree.map(cut, tree)


def training_samples(batch: BatchT, length: int | None) -> BatchT:
    """Like `to_samples`; each sequence keeps the hidden state before its first step, `[T, B, …]` → `[T/L·B, …]`."""
    hidden = jax.tree.map(lambda leaf: leaf[::length].reshape(-1, *leaf.shape[2:]), batch.hidden)
    return to_samples(batch.replace(hidden=()), length).replace(hidden=hidden)


def take_rows(tree: TreeT, rows: Rows, axis: int = 0) -> TreeT:
    """The samples `rows` of leaves whose samples are on `axis`."""
    return tree if rows is None else jax.tree.map(lambda x: x.take(rows, axis, mode="clip"), tree)


def shuffled(key: Key[Array, ""], num_samples: int) -> UInt[Array, " n"]:
    """0 … n−1 in random order, uint32, by one sort of words: the high bits are random, the low bits hold the index.

    `jax.random.permutation` sorts pairs twice, which took a quarter of an iteration with 16 small minibatches on a CPU.
    Indices whose 32 − log₂ n high bits coincide keep their order.
    """
    low = (num_samples - 1).bit_length()
    words = jax.random.bits(key, (num_samples,)) >> low << low | jnp.arange(num_samples, dtype=jnp.uint32)
    return jnp.sort(words) & ((1 << low) - 1)


def scan_minibatches(
    key: Key[Array, ""],
    carry: CarryT,
    step: Callable[[CarryT, Rows], tuple[CarryT, InfoT]],
    num_samples: int,
    num_epochs: int,
    num_minibatches: int,
) -> tuple[CarryT, InfoT]:
    """Run `step(carry, rows) → (carry, info)` over minibatches of the samples, shuffled in each epoch.

    A single minibatch is the whole batch. It is not shuffled, which would only reorder a sum.

    Args:
        key: typed key for the permutations.
        num_samples: n, divisible by `num_minibatches`.
    Returns:
        The last carry and the infos, stacked `[num_epochs · num_minibatches, …]`.
    """
    if num_minibatches == 1:
        return jax.lax.scan(lambda c, _: step(c, None), carry, length=num_epochs)

    def epoch(carry: CarryT, epoch_key: Key[Array, ""]) -> tuple[CarryT, InfoT]:
        indices = shuffled(epoch_key, num_samples).reshape(num_minibatches, -1)
        return jax.lax.scan(step, carry, indices)

    carry, infos = jax.lax.scan(epoch, carry, jax.random.split(key, num_epochs))
    return carry, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), infos)
