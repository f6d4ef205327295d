"""`ltro report`."""

import argparse
from typing import Any

from ltro_jax.process.paths import run_path, typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "report",
        help="write a report on one or several runs",
        description="Report learning curves, final scores, performance profiles, probabilities of improvement, sample "
        "efficiency, advantage variance, agents, failures, time and settings of runs or sweeps, finished or not. The "
        "report is one self-contained HTML file, with the same content as Markdown beside it.",
        epilog="example: ltro report runs/happo runs/clip_happo -o happo-or-not.html",
    )
    parser.add_argument("paths", type=run_path, metavar="RUN", nargs="+", help="directories of runs or sweeps")
    parser.add_argument(
        "-o",
        "--out",
        type=typed_path,
        metavar="PATH",
        help="an .html file, or a directory for report.html (default: RUN/report.html; several RUNs: ./report.html)",
    )
    parser.add_argument("--metric", help="metric to compare (default: greedy evaluation return, else episode return)")
    parser.add_argument("--title", help="title of the report (default: the algorithms and tasks)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the report and print the path."""
    from ltro_jax.reports.report import report

    print(f"written: {report(options.paths, options.out, metric=options.metric, title=options.title)}")
    return 0
