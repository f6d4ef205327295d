"""Files that are written whole or not at all."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a hidden file beside `path` to write to: renamed over `path` at the end, deleted if the body fails.

    A link at `path` is replaced; nothing is written through it.

    Args:
        durable: flush the file and its directory to the disk before returning.
    Raises:
        OSError: the file cannot be written; `path` is unchanged.
    """
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if os.path.lexists(temporary):  # left by an earlier process with this id, or a link
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
    """Write `data` to `path`, whole or not at all; as `replacing`.

    Raises:
        OSError: the file cannot be written; `path` is unchanged.
    """
    with replacing(path, durable) as temporary, open(temporary, "xb") as file:
        file.write(data)


def is_leftover(path: Path) -> bool:
    """Whether `path` is a hidden file of a `replacing` that was killed."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


def remove_leftovers(directory: Path, name: str = "*") -> None:
    """Delete the hidden files of killed writers of `name` in the directory; no process may be writing there.

    Raises:
        OSError: a file cannot be deleted.
    """
    for path in list(directory.glob(f".{name}.*.tmp")):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush the contents of a file, or the entries of a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
