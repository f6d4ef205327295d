"""`ltro plot`."""

import argparse
from pathlib import Path
from typing import Any

from ltro_jax.process.paths import run_path, typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "plot",
        help="plot learning curves of one or several runs",
        description="Plot the IQM over seeds with a 95 % bootstrap interval. The suffix of the output, .png or .pdf, "
        "selects the format.",
    )
    parser.add_argument(
        "paths", type=run_path, metavar="RUN", nargs="+", help="directories of runs or sweeps; each run is one curve"
    )
    parser.add_argument("--metric", help="metric to plot (default: greedy evaluation, else episode return)")
    parser.add_argument(
        "--smoothing", type=int, default=1, metavar="W", help="trailing mean over W recorded values (default 1: none)"
    )
    parser.add_argument(
        "-o", "--output", type=typed_path, metavar="FILE", help="default: <metric>.png in the first RUN"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Plot and print the path of the file."""
    from ltro_jax.reports.plot import plot, shared_metric
    from ltro_jax.runs.sweep import open_runs

    runs = open_runs(options.paths, with_metrics=True)
    metric = shared_metric(runs, options.metric)
    output = Path(options.output or Path(options.paths[0]) / f"{metric}.png")
    plot(runs, metric, smoothing=options.smoothing, output=output)
    print(f"drawn: {output}")
    return 0
