"""Ctrl-C, SIGTERM and a terminal that closes.

The process of a command ends at once with one sentence and exit code 130, wherever it is, except in the training loop:
there the device call ends first and everything is saved. A process that is not ours (a notebook, a script that calls
`train`) gives only Ctrl-C to the training loop.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPED = 130  # the exit code
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
DEFAULT = "interrupted"

_sentence = DEFAULT
_latest = threading.Event()


def own_signals() -> None:
    """From here on a signal ends this process, which is to be our own, as described above.

    No exception is raised for it: within an import or a callback of XLA one is swallowed, or printed with pages of
    frames. Ending without unwinding costs nothing, since files are written whole or not at all. Signals that are
    ignored stay so (`nohup`, background jobs of scripts).
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)


def when_ended(sentence: str = DEFAULT) -> None:
    """What the process says when a signal ends it from now on; "" is nothing."""
    global _sentence
    _sentence = sentence


def _end(signum: int, frame: Any) -> None:
    if _sentence:
        with suppress(OSError):
            start = "\n" if os.isatty(2) else ""  # after a line of progress, or the ^C of the terminal
            os.write(2, f"{start}ltro: {_sentence}\n".encode())  # a buffered stream cannot be entered twice
    os._exit(STOPPED)


@contextmanager
def interruptible(warn: Callable[[str], None]) -> Iterator[threading.Event]:
    """Within it the first signal only sets the event, and says so; a second one interrupts as usual."""
    global _latest
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may handle signals
        return
    _latest = event
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in before.items() if handler is _end]  # of our own process
    if before[signal.SIGINT] not in (signal.SIG_IGN, _end, None):  # None: not Python's to put back
        taken.append(signal.SIGINT)

    def restore() -> None:
        for number in taken:
            signal.signal(number, before[number])

    def handle(signum: int, frame: Any) -> None:
        event.set()
        restore()
        with suppress(RuntimeError):  # the stream was being written to just now
            warn("stopping after this device call (Ctrl-C again to stop at once) ...")

    for number in taken:
        signal.signal(number, handle)
    try:
        yield event
    finally:
        restore()


def forget_interrupt() -> None:
    """Begin several trainings in a row, between which `was_interrupted` is asked."""
    _latest.clear()


def was_interrupted() -> bool:
    """Whether a signal has come during an `interruptible` of the main thread, also in the last moment of a training."""
    return _latest.is_set()
