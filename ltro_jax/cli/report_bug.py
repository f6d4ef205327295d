"""`ltro report-bug`."""

import argparse
from typing import Any

from ltro_jax.process.paths import run_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "report-bug",
        help="print the facts that a bug report needs",
        description="Print Markdown to paste into an issue: versions, devices, memory and the environment variables of "
        "JAX, and with RUN the settings and the state of a run or a sweep. The home directory appears as ~. Check the "
        "text before you publish it.",
        epilog="example: ltro report-bug runs/spread > report.md",
    )
    parser.add_argument("path", type=run_path, metavar="RUN", nargs="?", help="directory of a run or a sweep")
    parser.set_defaults(run=run, imports_jax=False)


def run(options: argparse.Namespace) -> int:
    """Print the report; the exit code is 0 even if parts are missing."""
    from ltro_jax.watch.bug_report import bug_report

    print(bug_report(options.path), end="")
    return 0
