"""A lock for one writing process, which readers can identify without disturbing it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ltro_jax.storage.errors import RunError, disk_errors

LOCK_FILE = ".lock"


class Holder(NamedTuple):
    """The id and host of the writing process. Whether a process on another host is alive is unknown."""

    pid: int
    host: str

    @property
    def here(self) -> bool:
        return self.host == socket.gethostname()


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the directory for one writing process; the lock is released on exit, even if the process is killed.

    Raises:
        RunError: another process holds the lock, the lock file is a symbolic link, or a disk error.
    """
    problem, remedy = f"cannot lock the run directory {directory}", "check the free space and the permissions there"
    with disk_errors(problem, remedy):
        file = _open(directory / LOCK_FILE)
    with file:
        with disk_errors(problem, remedy):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"another process is writing to {directory}; wait until it ends or stop it") from None
        record = {"pid": os.getpid(), "host": socket.gethostname(), "began": _began(os.getpid())}
        with suppress(OSError):  # only readers use the content
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(record).encode())
        try:
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(file.fileno(), 0)


def _open(path: Path) -> BinaryIO:
    """Open for writing; `RunError` if `path` is a symbolic link."""
    try:
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise RunError(f"{path} is a symbolic link, and locking would overwrite its target; delete the link") from None


def holder(directory: Path) -> Holder | None:
    """The process that holds the directory, determined without touching the lock; None if there is none.

    The record of a killed process is ignored, even if a later process has the same id.
    """
    try:
        content = json.loads((directory / LOCK_FILE).read_bytes())
        named = Holder(int(content["pid"]), str(content["host"]))
        began = content["began"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    gone = named.here and (began is None or _began(named.pid) != began)
    return None if gone else named


def _began(pid: int) -> str | None:
    """The start of a process in clock ticks, which distinguishes processes with the same id; None if it is dead."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else rest[18]
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:  # not Linux: only the id is available
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
