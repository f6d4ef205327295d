"""Print to streams that may be closed, full, gone, or unable to show a character."""

import os
import sys
from typing import Any, TextIO

_lost: Any = None
_failure: OSError | None = None


def emit(text: str, stream: TextIO | None) -> str | None:
    """Write `text` and flush; characters that the stream cannot show become question marks.

    Returns:
        Why the stream takes nothing, or None when it took the text. Nothing is raised.
    """
    global _lost
    if stream is None:  # was closed when Python started
        return "it is closed"
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError as error:
            encoding = stream.encoding or error.encoding
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:  # ValueError: closed since
        _lost = stream
        return getattr(error, "strerror", None) or "it is closed"
    return None


def was_lost() -> bool:
    """Whether `emit` has found that standard output fails, so that its caller continues without it."""
    return _lost is not None and _lost is sys.stdout


def is_terminal(stream: Any) -> bool:
    """Whether a line can be rewritten in place there."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (OSError, ValueError):
        return False


def own_streams() -> None:
    """Make the standard streams of our own process usable: open where they were closed, and able to show any text.

    A descriptor that stays closed would be given to the next file, into which every library then prints.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, which is this one
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", closefd=False))
        elif descriptor and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")

    _remember_failures(sys.stdout)


def _remember_failures(stream: Any) -> None:
    """An unbuffered stream forgets what it could not write: a later flush would succeed."""
    write = stream.write

    def remembering(text: str) -> int:
        global _failure
        try:
            return write(text)
        except OSError as error:
            _failure = error
            raise

    stream.write = remembering


def lost_stdout() -> OSError | None:
    """Flush the standard output of our own process; the error where it takes nothing, and from then on it is silent."""
    error = _failure
    try:
        sys.stdout.flush()
    except OSError as now:
        error = now
    except ValueError:  # closed
        pass
    if error:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)  # Python flushes once more at its end
        os.close(silent)
    return error
