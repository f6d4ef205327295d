"""Output to streams that may be closed, full or unable to encode a character."""

import os
import sys
from typing import Any, TextIO

_lost: Any = None
_failure: OSError | None = None


def emit(text: str, stream: TextIO | None) -> str | None:
    """Write `text` and flush; characters that the stream cannot encode become question marks.

    Returns:
        The reason why the write failed, or None on success. Raises nothing.
    """
    global _lost
    if stream is None:  # closed when Python started
        return "it is closed"
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError as error:
            encoding = stream.encoding or error.encoding
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:  # ValueError: closed later
        _lost = stream
        return getattr(error, "strerror", None) or "it is closed"
    return None


def was_lost() -> bool:
    """Whether `emit` failed on standard output, so that its caller continues without output."""
    return _lost is not None and _lost is sys.stdout


def is_terminal(stream: Any) -> bool:
    """Whether lines can be rewritten in place on the stream."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (OSError, ValueError):
        return False


def own_streams() -> None:
    """Open closed standard streams, and replace characters that they cannot encode.

    The next file would get a descriptor that stays closed, and libraries would then print into that file.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", closefd=False))
        elif descriptor and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")

    _remember_failures(sys.stdout)


def _remember_failures(stream: Any) -> None:
    """Record write errors: on an unbuffered stream, a later flush would succeed."""
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
    """Flush standard output; after an error, return the error and discard all later output."""
    error = _failure
    try:
        sys.stdout.flush()
    except OSError as now:
        error = now
    except ValueError:  # closed
        pass
    if error:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)  # Python flushes again at exit
        os.close(silent)
    return error
