"""How much memory a run needs and how much there is; sizes that cannot fit are refused before anything is compiled."""

import math
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ltro_jax.config import Config, SettingsError
from ltro_jax.parallel import Layout
from ltro_jax.storage import RunError
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


def program_memory(compiled: jax.stages.Compiled) -> ProgramMemory:
    """Of a compiled program; 0 where the platform does not tell."""
    plan = compiled.memory_analysis()
    if plan is None:
        return ProgramMemory(0, 0)
    states = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return ProgramMemory(states, plan.temp_size_in_bytes)


def device_memory(device: Any) -> int:
    """Bytes that a program may use on a device; on a CPU those that this process may use, 2⁶³ where nobody knows."""
    if device.platform == "cpu":
        return process_memory()
    return (device.memory_stats() or {}).get("bytes_limit") or 2**63


def process_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory that this process may use: the machine's, or less where a container or `ulimit -v` says so.

    Args:
        root: where `proc` and `sys` are.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits(root)]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*limits, *([] if address_space == resource.RLIM_INFINITY else [address_space])])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Of this process's control groups, version 1 and 2, and of all groups that these are in."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:  # no Linux
        return
    for _, controllers, path in groups:
        if controllers == "":
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.strip("/"))
        for within in (group, *group.parents):  # in a container only the last, the mount itself, may be there
            try:
                yield int((mount / within / name).read_text())
            except (OSError, ValueError):  # ValueError: "max", which is no limit
                continue


class Compiled(NamedTuple):
    """Programs of members, compiled for one layout."""

    layout: Layout
    memory: ProgramMemory  # of a device
    programs: Any


def compile_fitting(
    build: Callable[[int | None], Compiled], at_once: int | None, say: Callable[[str], None] = lambda text: None
) -> Compiled:
    """Build with `at_once` members of a device side by side, then with fewer, until it fits into a device's memory.

    Args:
        build: members side by side (None = as many as there are; 1 on a CPU) → what is compiled.
        say: told of every size that does not fit.
    """
    while True:
        built = build(at_once)
        side_by_side, device = built.layout.at_once, built.layout.mesh.devices.flat[0]
        at_once = fitting_group(built.memory, side_by_side, device_memory(device))
        if at_once == side_by_side:
            return built
        needed = f"{built.memory.total / 2**30:.1f} GiB of a device"
        say(f"{side_by_side} members at once would need {needed}; trying {at_once}")


def half_after(error: Exception, at_once: int, remedy: str) -> int:
    """How many members to try side by side after `error`, which is raised again where it is not one of memory.

    Raises:
        RunError: one member alone does not fit; it ends with the remedy.
    """
    if not is_out_of_memory(error):
        raise error
    if at_once == 1:
        devices = jax.local_devices()
        where = f"{len(devices)} × {devices[0].device_kind}"
        raise RunError(f"one member alone does not fit into the memory of {where}: {remedy}") from error
    return at_once // 2


def fitting_group(memory: ProgramMemory, at_once: int, available: int) -> int:
    """Most members side by side whose program fits, ≥ 1, judged by one of `at_once` members: its share of `working`."""
    if memory.total <= available or not memory.working:
        return at_once
    return max(1, min(at_once - 1, int((available - memory.states) / memory.working * at_once)))


def is_out_of_memory(error: Exception) -> bool:
    """Whether XLA found no memory."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
