"""Refuse sizes that cannot fit, before anything is compiled or written."""

import os
from typing import Any

import jax
import numpy as np

from ltro_jax.config import Config, SettingsError
from ltro_jax.training import Train
from ltro_jax.training.rollout import rollout


def refuse_impossible_size(program: Train, config: Config) -> None:
    """Compare the states of all members and one rollout with the memory there is.

    Raises:
        SettingsError: they cannot fit, activations not even counted.
    """
    state = jax.eval_shape(program.init, 0, config.hypers)
    _, transitions, _ = jax.eval_shape(
        lambda key, state: rollout(key, state, config.hypers, program.parts), jax.random.key(0), state
    )
    needed = len(config.members) * _bytes(state) + _bytes(transitions)
    available = _memory()
    if needed > available:
        static = config.static
        raise SettingsError(
            f"num_envs = {static.num_envs} and rollout_length = {static.rollout_length} need about "
            f"{needed / 2**30:.0f} GiB with hidden_sizes = {','.join(map(str, static.hidden_sizes))} and "
            f"{len(config.members)} seeds, but there are {available / 2**30:.0f} GiB; make them smaller"
        )


def _bytes(tree: Any) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.itemsize for leaf in leaves)


def _memory() -> int:
    """Bytes of all devices together; on a CPU those of the machine."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    return sum(limit for limit in limits if limit) or 2**63
