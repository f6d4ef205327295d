"""Store pending rows of metrics, and write all metrics of a finished run to one file."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress

import xarray as xr

from ltro_jax.storage import MetricStore, RunDirectory, RunError

METRICS_FILE = "metrics.nc"  # all metrics of a finished run, for readers without ltro_jax
PENDING_BYTES = 2**27  # rows held in memory without a checkpoint; joining them needs the same again


def too_large(pending: Sequence[xr.Dataset]) -> bool:
    """Whether to store these rows now, although no checkpoint is due."""
    return sum(rows.nbytes for rows in pending) >= PENDING_BYTES


def store_rows(store: MetricStore, pending: Sequence[xr.Dataset], replace: bool) -> xr.Dataset:
    """Store consecutive rows and return them joined. A run that resumes from an earlier iteration discards them.

    Args:
        replace: the store may already hold these iterations, because a later checkpoint is damaged.
    Raises:
        RunError: as for `MetricStore.append`.
    """
    rows = xr.concat(pending, "iteration", data_vars="minimal", coords="minimal", compat="override")
    if replace:
        store.truncate(int(rows["iteration"].values[0]) - 1)
    store.append(rows)
    return rows


def write_metrics_file(directory: RunDirectory, warn: Callable[[str], None]) -> None:
    """Write `METRICS_FILE` of a finished run; if that fails, call `warn`. The run is complete without the file."""
    try:
        MetricStore(directory.metrics).consolidate(directory.path / METRICS_FILE)
    except RunError as error:
        command = f"ltro export {shlex.quote(str(directory.path))} --format netcdf -o FILE"
        warn(f"{error}; the run is finished without this file; write it with `{command}`")


def remove_metrics_file(directory: RunDirectory) -> None:
    """Remove the file of a run that trains again: it would be out of date."""
    with suppress(OSError):
        (directory.path / METRICS_FILE).unlink(missing_ok=True)
