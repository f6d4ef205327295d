"""Several processes, on one or more hosts, each with its own devices and its own members."""

import itertools
import time

import jax
from jax._src import distributed  # the public interface has no barrier that leaves the devices alone

_waits = itertools.count()  # every process waits in the same order


def join_processes(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Start `jax.distributed`, before anything else uses a device.

    Args:
        coordinator: `host:port` of process 0; None = as JAX detects it (SLURM, Cloud TPU, GKE, Open MPI).
        num_processes, process_id: as given or detected.
    Raises:
        RuntimeError, ValueError: JAX could not detect what was left out, or reach the coordinator.
    """
    jax.distributed.initialize(coordinator, num_processes, process_id)


def wait_for_all(what: str) -> None:
    """Return when every process has come here, however long that takes; at once where there is one.

    Processes tell each other through the coordinator's table. A collective of the devices would give up after half an
    hour on a CPU, and shares of a sweep may differ by more. Where a process dies, JAX ends the others.
    """
    count = jax.process_count()
    if count == 1:
        return
    client = distributed.global_state.client
    assert client is not None  # several processes have been joined
    place = f"ltro_jax/{next(_waits)} {what}/"
    client.key_value_set(f"{place}{jax.process_index()}", "here")
    while len(client.key_value_dir_get(place)) < count:
        time.sleep(0.2)
