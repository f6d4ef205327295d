"""Files that are either wholly there or not there at all, and the one error that users see."""

from __future__ import annotations

import errno
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


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A hidden neighbour of `path` to write to; at the end it is renamed over `path`, where the body fails deleted.

    A link at `path` is replaced, and nothing is written through it.

    Args:
        durable: have both on the disk itself before returning.
    Raises:
        OSError: the disk refuses; `path` is then what it was before.
    """
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if os.path.lexists(temporary):  # of an earlier process with this number, or a link
        temporary.unlink()
    try:
        yield temporary
        if durable:
            flush(temporary)
        os.replace(temporary, path)
    except (Exception, KeyboardInterrupt):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        flush(path.parent)


def write_atomically(path: Path, data: bytes, durable: bool = True) -> None:
    """Writes `data` to `path`, wholly or not at all; as `replacing`.

    Raises:
        OSError: the disk refuses; `path` is then what it was before.
    """
    with replacing(path, durable) as temporary, open(temporary, "xb") as file:
        file.write(data)


def is_leftover(path: Path) -> bool:
    """Whether a kill within `replacing` has left it."""
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
