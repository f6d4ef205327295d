"""Files that are either wholly there or not there at all, and the one error that users see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class RunError(Exception):
    """A run on disk cannot be used as asked. One sentence for the user: the path and the remedy."""

    exit_code = 2  # of a command


class RunWarning(UserWarning):
    """Something of a run on disk is not as asked, and what is used instead. One sentence for the user."""


@contextmanager
def disk_errors(problem: str, remedy: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turns an `OSError` in the body, or an error of the types `also`, into a `RunError`.

    Args:
        problem: what failed, with the path: "cannot write runs/x/settings.json".
        remedy: what the user can do about it.
        also: further types raised for disk trouble, or for content that cannot be what was written.
    """
    try:
        yield
    except (OSError, *also) as error:
        raise RunError(f"{problem}: {one_line(error)}; {remedy}") from error


def one_line(error: Exception) -> str:
    """What went wrong, short enough for a sentence; the operating system's own words where it spoke."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` to `path` through a hidden neighbour that is flushed, then renamed over it.

    Raises:
        OSError: the disk refuses; `path` is then what it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    flush(path.parent)


def is_leftover(path: Path) -> bool:
    """Whether a kill within `write_atomically` has left it."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


def remove_leftovers(directory: Path, name: str = "*") -> None:
    """Deletes what kills have left of files called `name` there; nobody may be writing them.

    Raises:
        OSError: the disk refuses.
    """
    for path in list(directory.glob(f".{name}.*.tmp")):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Has the operating system put a file's contents, or a directory's entries, on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
