"""The memory that a run needs and the memory available; rejects impossible sizes before anything is compiled."""

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
    """Compare the size of all states and one rollout with the available memory.

    Raises:
        SettingsError: they do not fit, even without activations.
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
            f"{len(config.members)} members, but only {available / 2**30:.0f} GiB are available; reduce them"
        )


def _bytes(tree: Any) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


class ProgramMemory(NamedTuple):
    """Bytes of one device while a compiled program runs on it, as planned by XLA."""

    states: int  # arguments and results: what members keep between calls
    working: int  # intermediate arrays of the members that run in parallel

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.states + self.working


def program_memory(compiled: jax.stages.Compiled) -> ProgramMemory:
    """The memory of a compiled program; 0 if the platform does not report it."""
    plan = compiled.memory_analysis()
    if plan is None:
        return ProgramMemory(0, 0)
    states = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return ProgramMemory(states, plan.temp_size_in_bytes)


def device_memory(device: Any) -> int:
    """Bytes that a program may use on a device; on a CPU, bytes that this process may use; 2⁶³ if unknown."""
    if device.platform == "cpu":
        return process_memory()
    return (device.memory_stats() or {}).get("bytes_limit") or 2**63


def process_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory that this process may use: all, or the limit of a container or of `ulimit -v`.

    Args:
        root: the directory of `proc` and `sys`.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits(root)]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*limits, *([] if address_space == resource.RLIM_INFINITY else [address_space])])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Limits of the control groups of this process, version 1 and 2, and of their parent groups."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:  # not Linux
        return
    for _, controllers, path in groups:
        if controllers == "":
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.strip("/"))
        for within in (group, *group.parents):  # in a container, only the mount itself may exist
            try:
                yield int((mount / within / name).read_text())
            except (OSError, ValueError):  # ValueError: "max" means no limit
                continue


class Compiled(NamedTuple):
    """Programs of members, compiled for one layout."""

    layout: Layout
    memory: ProgramMemory  # of one device
    programs: Any


def compile_fitting(
    build: Callable[[int | None], Compiled], at_once: int | None, say: Callable[[str], None] = lambda text: None
) -> Compiled:
    """Build with `at_once` parallel members per device, then with fewer, until the program fits into device memory.

    Args:
        build: number of parallel members (None = all; 1 on a CPU) → the compiled programs.
        say: receives a sentence for each size that does not fit.
    """
    while True:
        built = build(at_once)
        in_parallel, device = built.layout.at_once, built.layout.mesh.devices.flat[0]
        at_once = fitting_group(built.memory, in_parallel, device_memory(device))
        if at_once == in_parallel:
            return built
        needed = f"{built.memory.total / 2**30:.1f} GiB of a device"
        say(f"{in_parallel} members at once would need {needed}; trying {at_once}")


def half_after(error: Exception, at_once: int, remedy: str) -> int:
    """The number of parallel members to try after `error`; raises `error` again unless memory ran out.

    Raises:
        RunError: a single member does not fit; the message ends with `remedy`.
    """
    if not is_out_of_memory(error):
        raise error
    if at_once == 1:
        devices = jax.local_devices()
        where = f"{len(devices)} × {devices[0].device_kind}"
        raise RunError(f"a single member does not fit into the memory of {where}: {remedy}") from error
    return at_once // 2


def fitting_group(memory: ProgramMemory, at_once: int, available: int) -> int:
    """Most parallel members whose program fits, ≥ 1, extrapolated from the memory of a program of `at_once` members."""
    if memory.total <= available or not memory.working:
        return at_once
    return max(1, min(at_once - 1, int((available - memory.states) / memory.working * at_once)))


def is_out_of_memory(error: Exception) -> bool:
    """Whether XLA ran out of memory."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
