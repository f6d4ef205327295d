"""How much memory a run needs and how much there is; sizes that cannot fit are refused before anything is compiled."""

import math
import os
from typing import Any, NamedTuple

import jax

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
    devices = jax.local_devices()
    available = device_memory(devices[0]) * (1 if devices[0].platform == "cpu" else len(devices))
    if needed > available:
        static = config.static
        raise SettingsError(
            f"num_envs = {static.num_envs} and rollout_length = {static.rollout_length} need about "
            f"{needed / 2**30:.0f} GiB with hidden_sizes = {','.join(map(str, static.hidden_sizes))} and "
            f"{len(config.members)} members, but there are {available / 2**30:.0f} GiB; make them smaller"
        )


def _bytes(tree: Any) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


class ProgramMemory(NamedTuple):
    """Bytes of one device while a compiled program runs on it, as XLA has planned them."""

    states: int  # arguments and results: what members keep between calls
    working: int  # intermediate arrays of the members that are side by side

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.states + self.working


def program_memory(compiled: Any) -> ProgramMemory:
    """Of a compiled program; 0 where the platform does not tell."""
    plan = compiled.memory_analysis()
    if plan is None:
        return ProgramMemory(0, 0)
    states = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return ProgramMemory(states, plan.temp_size_in_bytes)


def device_memory(device: Any) -> int:
    """Bytes that a program may use on a device; on a CPU those of the machine, 2⁶³ where nobody knows."""
    if device.platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (device.memory_stats() or {}).get("bytes_limit") or 2**63


def fitting_group(memory: ProgramMemory, at_once: int, available: int) -> int:
    """Most members side by side whose program fits, ≥ 1, judged by one of `at_once` members: its share of `working`."""
    if memory.total <= available or not memory.working:
        return at_once
    return max(1, min(at_once - 1, int((available - memory.states) / memory.working * at_once)))


def is_out_of_memory(error: Exception) -> bool:
    """Whether XLA found no memory."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
