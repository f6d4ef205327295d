"""`ltro`: the entry point, and what befalls its process."""

import errno
import os
import sys
from collections.abc import Sequence

from ltro_jax.process.interrupts import own_signals
from ltro_jax.process.streams import lost_stdout, own_streams, was_lost

READER_GONE = 141  # what a shell reports of a tool that a closed pipe has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: the words after `ltro`; None takes those of this process, which is then our own: its signals, its
            streams and its environment are set up for the command.
    """
    if arguments is not None:
        return _run(arguments)
    own_signals()
    own_streams()
    os.environ["MPLBACKEND"] = "agg"  # only files are drawn, whatever Jupyter has set for its children
    try:
        code = _run(sys.argv[1:])
    except SystemExit as exit_:  # of the parser: help, or bad input
        code = exit_.code if isinstance(exit_.code, int) else 1
    except OSError as error:
        lost = lost_stdout()
        if lost is None or lost.errno != error.errno:
            raise
        return _without_stdout(lost)
    lost = lost_stdout()
    return _without_stdout(lost) if lost and not was_lost() else code


def _run(arguments: Sequence[str]) -> int:
    from ltro_jax.cli.commands import run_command  # takes a moment, in which the signals are ours already

    return run_command(arguments)


def _without_stdout(error: OSError) -> int:
    """The exit code of a command whose output nobody takes; silent where the reader has just seen enough (`| head`)."""
    if error.errno == errno.EPIPE:
        return READER_GONE
    print(f"ltro: cannot write to standard output: {error.strerror}; check where it goes", file=sys.stderr)
    return 2
