"""Deferred imports, and imports of packages that print or warn."""

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
    """Import the attribute `name` of `package` from its submodule `places[name]` and store it in `package`.

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

    JaxMARL prints during its import and, if brax is installed, replaces `sys.stdout` by `sys.__stdout__`. The first
    import of each module holds a lock, passes on the output of other threads and restores the streams. Later imports
    change nothing.

    Raises:
        ImportError: the module is not installed.
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
    """Silence warnings in the body; one thread at a time, because all threads share the warning filters."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def import_matplotlib() -> None:
    """Import matplotlib even if `MPLBACKEND` names a backend that is not installed.

    Jupyter also sets the variable for child processes, which may run in another environment. Plots are written to
    files, which needs no backend.
    """
    with _LOCK:
        try:
            importlib.import_module("matplotlib")
        except ValueError:
            chosen = os.environ.pop("MPLBACKEND", None)
            if chosen is None:
                raise
            for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
                del sys.modules[name]  # left by the failed import
            try:
                importlib.import_module("matplotlib")
            finally:
                os.environ["MPLBACKEND"] = chosen


class _Silent:
    """Replaces a stream of `sys`: drops the output of the thread that created it and passes on all other output."""

    def __init__(self, name: str):
        self._name, self._stream, self._thread = name, getattr(sys, name), threading.get_ident()
        setattr(sys, name, self)

    def end(self) -> None:
        """Restore the stream, unless another thread has replaced it."""
        self._thread = -1  # other code may still hold this object
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
