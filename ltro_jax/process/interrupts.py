"""Ctrl-C, SIGTERM and a closed terminal.

The process of a command ends immediately with one sentence and exit code 130, except in the training loop: there the
device call ends first and everything is saved. In other processes (a notebook, a script that calls `train`), the
training loop handles only Ctrl-C.
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
    """Make signals end this process, which must be the process of a command, as described above.

    The handler raises no exception: an import or a callback of XLA would swallow it or print a long traceback. Ending
    without unwinding is safe because files are written atomically. Ignored signals stay ignored (`nohup`, background
    jobs of scripts).
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)


def when_ended(sentence: str = DEFAULT) -> None:
    """Set the sentence that is printed if a signal ends the process; "" prints nothing."""
    global _sentence
    _sentence = sentence


def _end(signum: int, frame: Any) -> None:
    if _sentence:
        with suppress(OSError):
            start = "\n" if os.isatty(2) else ""  # after a progress line or the ^C of the terminal
            os.write(2, f"{start}ltro: {_sentence}\n".encode())  # buffered streams are not reentrant
    os._exit(STOPPED)


@contextmanager
def interruptible(warn: Callable[[str], None]) -> Iterator[threading.Event]:
    """In the body, the first signal only sets the event and calls `warn`; a second signal interrupts as usual."""
    global _latest
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may handle signals
        return
    _latest = event
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in before.items() if handler is _end]  # set by `own_signals`
    if before[signal.SIGINT] not in (signal.SIG_IGN, _end, None):  # None: Python cannot restore it
        taken.append(signal.SIGINT)

    def restore() -> None:
        for number in taken:
            signal.signal(number, before[number])

    def handle(signum: int, frame: Any) -> None:
        event.set()
        restore()
        with suppress(RuntimeError):  # the signal interrupted a write to the stream
            warn("stopping after this device call (press Ctrl-C again to stop immediately) ...")

    for number in taken:
        signal.signal(number, handle)
    try:
        yield event
    finally:
        restore()


def forget_interrupt() -> None:
    """Reset `was_interrupted` before a series of trainings."""
    _latest.clear()


def was_interrupted() -> bool:
    """Whether a signal arrived during an `interruptible` of the main thread, even at the very end of a training."""
    return _latest.is_set()
