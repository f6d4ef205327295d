"""How long the iterations of a run took; apart from the metrics, which are the same each time.

On disk:
    timing.json   a row for each stretch of iterations between two checkpoints
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ltro_jax.process.files import remove_leftovers
from ltro_jax.storage.errors import RunError, disk_errors
from ltro_jax.storage.run_directory import CHECK_DISK, RunDirectory

TIMING_FILE = "timing.json"


@dataclass(frozen=True)
class Stretch:
    """Iterations `first` to `last`, both included, that one process did in a row."""

    first: int
    last: int
    seconds: float  # in device calls, evaluation included, compilation not
    devices: str


def record_stretch(directory: RunDirectory, stretch: Stretch) -> None:
    """Adds a stretch; those that it repeats after a resume from an older checkpoint are dropped.

    A damaged file is replaced: no run stops because of it.

    Raises:
        RunError: the disk refuses.
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
    """The stretches in their order; none where the run was made before they were recorded.

    Raises:
        RunError: the file is damaged.
    """
    if not (directory.path / TIMING_FILE).exists():
        return []
    try:
        return [Stretch(**row) for row in directory.read_json(TIMING_FILE)["stretches"]]
    except (KeyError, TypeError) as error:
        raise RunError(f"{directory.path / TIMING_FILE} is damaged ({error}); delete it") from error
