"""The duration of a run's iterations; stored apart from the metrics, which are reproducible.

On disk:
    timing.json   one row per range of iterations between two checkpoints
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ltro_jax.process.files import remove_leftovers
from ltro_jax.storage.errors import RunError, disk_errors
from ltro_jax.storage.run_directory import CHECK_DISK, RunDirectory

TIMING_FILE = "timing.json"


@dataclass(frozen=True)
class Stretch:
    """Iterations `first` to `last` (inclusive) of one process."""

    first: int
    last: int
    seconds: float  # in device calls, with evaluation, without compilation
    devices: str


def record_stretch(directory: RunDirectory, stretch: Stretch) -> None:
    """Add a stretch; it replaces stretches that it repeats after a resume from an older checkpoint.

    A damaged file is replaced and does not stop the run.

    Raises:
        RunError: a disk error.
    """
    try:
        before = load_stretches(directory)
    except RunError:
        before = []
    rows = [asdict(row) for row in (*(row for row in before if row.last < stretch.first), stretch)]
    with disk_errors(f"cannot write {directory.path / TIMING_FILE}", CHECK_DISK):
        remove_leftovers(directory.path, TIMING_FILE)
    directory.write_json(TIMING_FILE, {"stretches": rows})


def load_stretches(directory: RunDirectory) -> list[Stretch]:
    """The stretches in order; none if the version of ltro_jax that made the run did not record them.

    Raises:
        RunError: the file is damaged.
    """
    if not (directory.path / TIMING_FILE).exists():
        return []
    try:
        return [Stretch(**row) for row in directory.read_json(TIMING_FILE)["stretches"]]
    except (KeyError, TypeError) as error:
        raise RunError(f"{directory.path / TIMING_FILE} is damaged ({error}); delete it") from error
