"""`ltro resume`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, set_cache
from ltro_jax.runs import resume
from ltro_jax.runs.sweep import is_sweep, resume_sweep
from ltro_jax.runs.sweep_results import write_tables


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "resume",
        help="continue a stopped run or sweep",
        description="Continue a run from its newest intact checkpoint, on the CPU bit for bit as if never stopped.",
    )
    parser.add_argument("path", metavar="RUN", help="directory of a run or a sweep")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Resume; 130 when stopped by Ctrl-C before the end."""
    set_cache(options)
    if is_sweep(options.path):
        found = resume_sweep(options.path, progress=not options.quiet)
        ranking = write_tables(found)
        if not options.quiet:
            print(ranking)
        return 0 if found.finished else 130
    return 0 if resume(options.path, progress=not options.quiet).finished else 130
