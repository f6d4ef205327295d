"""One writing process at a time, and who it is, for readers that must not disturb it."""

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
    """The process that writes: its number and host. On another host nobody can see from here whether it lives."""

    pid: int
    host: str

    @property
    def here(self) -> bool:
        return self.host == socket.gethostname()


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Holds the directory for one writing process; released on exit, also when the process is killed.

    Raises:
        RunError: another process holds it, its file is a symbolic link, or the disk refuses.
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
        with suppress(OSError):  # only readers miss it
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(record).encode())
        try:
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(file.fileno(), 0)


def _open(path: Path) -> BinaryIO:
    """For writing; `RunError` where that would write through a link."""
    try:
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise RunError(f"{path} is a symbolic link, and locking would overwrite its target; delete the link") from None


def holder(directory: Path) -> Holder | None:
    """The process that holds the directory, as far as it can be told without touching the lock; None = nobody.

    A killed process leaves its name behind; it is not taken for a living one, nor a later process of its number.
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
    """What tells a living process from others of its number: its start in clock ticks. None: there is none."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else rest[18]
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:  # no Linux: its number has to do
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
