"""The entry point of `ltro`: signals, streams and exit codes of the process."""

import errno
import os
import sys
from collections.abc import Sequence

from ltro_jax.process.interrupts import own_signals
from ltro_jax.process.streams import lost_stdout, own_streams, was_lost

READER_GONE = 141  # a shell reports 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: the words after `ltro`; None = the arguments of this process, whose signals, streams and environment
            are then set up for the command.
    """
    if arguments is not None:
        return _run(arguments)
    own_signals()
    own_streams()
    os.environ["MPLBACKEND"] = "agg"  # plots go to files; Jupyter sets another backend for its child processes
    try:
        code = _run(sys.argv[1:])
    except SystemExit as exit_:  # from the parser: help or bad input
        code = exit_.code if isinstance(exit_.code, int) else 1
    except OSError as error:
        lost = lost_stdout()
        if lost is None or lost.errno != error.errno:
            raise
        return _without_stdout(lost)
    lost = lost_stdout()
    return _without_stdout(lost) if lost and not was_lost() else code


def _run(arguments: Sequence[str]) -> int:
    from ltro_jax.cli.commands import run_command  # slow, so only after the signal handlers are set

    return run_command(arguments)


def _without_stdout(error: OSError) -> int:
    """The exit code of a command that cannot write its output; silent if the reader closed the pipe (`| head`)."""
    if error.errno == errno.EPIPE:
        return READER_GONE
    print(f"ltro: cannot write to standard output: {error.strerror}; check the redirection", file=sys.stderr)
    return 2
