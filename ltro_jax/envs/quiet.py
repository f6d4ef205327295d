"""Keep third-party noise from the user."""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator

STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Silence prints and warnings inside, and put back the streams.

    Importing jaxmarl prints, and one of its modules replaces `sys.stdout` by `sys.__stdout__` while it loads.
    """
    streams = {name: getattr(sys, name) for name in STREAMS}
    try:
        for name in STREAMS:
            setattr(sys, name, io.StringIO())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, stream in streams.items():
            setattr(sys, name, stream)
