"""`ltro resume`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, add_import_option, add_progress_options, progress_mode, set_cache
from ltro_jax.process.paths import run_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "resume",
        help="continue a stopped run or sweep",
        description="Continue a run from its newest intact checkpoint. On the CPU, the result equals that of an "
        "uninterrupted run bit for bit.",
    )
    parser.add_argument("path", type=run_path, metavar="RUN", help="directory of a run or a sweep")
    add_progress_options(parser)
    parser.add_argument(
        "--tracker", nargs="+", metavar="NAME", help="replace the trackers of the run; `none` disables them"
    )
    add_import_option(parser)
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Resume; return 130 if Ctrl-C stops the training before its end."""
    from ltro_jax.config import Config
    from ltro_jax.runs import resume
    from ltro_jax.runs.progress import Progress
    from ltro_jax.runs.sweep import is_sweep, resume_sweep
    from ltro_jax.runs.sweep_results import write_tables

    set_cache(options)
    mode, tracker = progress_mode(options), None
    if options.tracker:
        tracker = Config.from_dict({"tracker": options.tracker}).run.tracker
    if is_sweep(options.path):
        sweep = resume_sweep(options.path, progress=mode, tracker=tracker)
        Progress(mode).say(write_tables(sweep))
        return 0 if sweep.finished else 130
    return 0 if resume(options.path, progress=mode, tracker=tracker).finished else 130
