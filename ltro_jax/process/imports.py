"""Imports that come late, and imports of packages that make noise."""

import importlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_LOCK = threading.RLock()
_done: set[str] = set()
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def first_use(package: str, places: Mapping[str, str], name: str) -> Any:
    """The attribute `name` of `package`, imported now from its submodule `places[name]` and kept there.

    Raises:
        AttributeError: the package has no such attribute.
    """
    if name not in places:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{package}.{places[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value


def import_quietly(name: str) -> ModuleType:
    """Import a module of another package without its prints and warnings.

    JaxMARL prints while it is imported, and where brax is installed one of its modules replaces `sys.stdout` by
    `sys.__stdout__`. The first import of each module holds a lock; what other threads print meanwhile is printed, and
    the streams are put back. Later imports touch nothing.

    Raises:
        ImportError: it is not installed.
    """
    with without_warnings():
        if name not in _done:
            import_matplotlib()  # JaxMARL imports it
            silent = [_Silent(stream) for stream in STREAMS]
            try:
                importlib.import_module(name)
            finally:
                for stream in silent:
                    stream.end()
            _done.add(name)
        return importlib.import_module(name)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence warnings inside; one thread at a time, since all threads share the filters that are put back."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def import_matplotlib() -> None:
    """Import matplotlib even where `MPLBACKEND` names a backend that this Python does not have.

    Jupyter sets the variable for its children too, which may run in another environment. We draw into files, for which
    no backend is needed.
    """
    with _LOCK:
        try:
            importlib.import_module("matplotlib")
        except ValueError:
            chosen = os.environ.pop("MPLBACKEND", None)
            if chosen is None:
                raise
            for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
                del sys.modules[name]  # left by the attempt
            try:
                importlib.import_module("matplotlib")
            finally:
                os.environ["MPLBACKEND"] = chosen


class _Silent:
    """Stands for a stream of `sys` until its end: drops what the thread that made it writes, passes on all else."""

    def __init__(self, name: str):
        self._name, self._stream, self._thread = name, getattr(sys, name), threading.get_ident()
        setattr(sys, name, self)

    def end(self) -> None:
        """Put the stream back, unless another thread has replaced it."""
        self._thread = -1  # somebody may have kept this object
        if isinstance(getattr(sys, self._name), _Silent):
            setattr(sys, self._name, self._stream)

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread and self._stream is not None:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
