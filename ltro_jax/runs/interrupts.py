"""Ctrl-C that lets a device call end first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible(warn: Callable[[str], None]) -> Iterator[threading.Event]:
    """Within it the first Ctrl-C only sets the event, and says so; a second one interrupts as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may handle signals
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(signum: int, frame: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)
        warn("stopping after this device call (Ctrl-C again to stop at once) ...")

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
