"""Several processes, on one or more hosts, each with its own devices and its own members."""

import jax
from jax.experimental import multihost_utils


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
    """Return when every process has come here; at once where there is one."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)
