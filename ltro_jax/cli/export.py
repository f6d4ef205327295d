"""`ltro export`."""

import argparse
from pathlib import Path
from typing import Any

from ltro_jax.cli.options import add_cache_option, add_import_option, set_cache
from ltro_jax.config import SettingsError
from ltro_jax.process.paths import run_path, typed_path

# by format of `export_runs`
SUFFIXES = {"csv": "csv", "parquet": "parquet", "marl-eval": "json", "netcdf": "nc"}


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "export",
        help="write the metrics of runs as CSV, Parquet, marl-eval's JSON or NetCDF",
        description="csv and parquet: one row per value (run, task, algorithm, point, seed, iteration, env_steps,\n"
        "metric, axis: position or agent, index, value). marl-eval: every greedy evaluation and, as absolute_metrics,\n"
        "each seed's best policy on ten times eval_episodes new episodes (from `ltro eval --best` if it was\n"
        "run, else evaluated now). netcdf: all metrics of one run with their dimensions, like its metrics.nc.",
        epilog="example: ltro export runs/happo runs/clip_happo --format parquet -o both.parquet",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", type=run_path, metavar="RUN", nargs="+", help="directories of runs or sweeps")
    parser.add_argument(
        "--format", choices=tuple(SUFFIXES), default="csv", help="default csv; parquet needs the extra `export`"
    )
    parser.add_argument("--metric", nargs="+", default=[], metavar="NAME", help="metrics to export (default: all)")
    parser.add_argument(
        "-o",
        "--output",
        type=typed_path,
        metavar="FILE",
        help="output file (default: metrics.<suffix> in the first RUN)",
    )
    add_import_option(parser)
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export and print the path."""
    from ltro_jax.export.metrics import export_runs
    from ltro_jax.runs.sweep import open_runs

    set_cache(options)
    if options.format == "netcdf" and options.metric and not options.output:
        raise SettingsError("format = netcdf with --metric needs an output file: name one with -o")
    runs = open_runs(options.paths)
    output = options.output or Path(options.paths[0]) / f"metrics.{SUFFIXES[options.format]}"
    print(f"written: {export_runs(runs, options.format, output, options.metric)}")
    return 0
