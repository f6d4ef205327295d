"""On its way to disk: the rows that a running process still holds, and the one file of a finished run's metrics."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress

import xarray as xr

from ltro_jax.storage import MetricStore, RunDirectory, RunError

METRICS_FILE = "metrics.nc"  # all metrics of a finished run, for readers without ltro_jax
PENDING_BYTES = 2**27  # rows held without a checkpoint; joining them takes as much memory again


def too_large(pending: Sequence[xr.Dataset]) -> bool:
    """Whether these rows are to be stored now, although no checkpoint is due."""
    return sum(rows.nbytes for rows in pending) >= PENDING_BYTES


def store_rows(store: MetricStore, pending: Sequence[xr.Dataset], replace: bool) -> xr.Dataset:
    """Stores consecutive rows and returns them joined. A run resumed from before them forgets them.

    Args:
        replace: the store may hold such iterations already, from before a checkpoint was damaged.
    Raises:
        RunError: as `MetricStore.append`.
    """
    rows = xr.concat(pending, "iteration", data_vars="minimal", coords="minimal", compat="override")
    if replace:
        store.truncate(int(rows["iteration"].values[0]) - 1)
    store.append(rows)
    return rows


def write_metrics_file(directory: RunDirectory, warn: Callable[[str], None]) -> None:
    """Writes `METRICS_FILE` of a finished run; where that fails, `warn` is told. The run is complete without it."""
    try:
        MetricStore(directory.metrics).consolidate(directory.path / METRICS_FILE)
    except RunError as error:
        command = f"ltro export {shlex.quote(str(directory.path))} --format netcdf -o FILE"
        warn(f"{error}; the run is finished without this file, and `{command}` writes it")


def remove_metrics_file(directory: RunDirectory) -> None:
    """A run that is being trained has none: one of an older version, or of fewer iterations, would be out of date."""
    with suppress(OSError):
        (directory.path / METRICS_FILE).unlink(missing_ok=True)
