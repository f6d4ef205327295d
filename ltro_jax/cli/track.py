"""`ltro track`."""

import argparse
from typing import Any

from ltro_jax.config import SETTINGS
from ltro_jax.process.paths import run_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    names = SETTINGS["tracker"].metadata["choices"]
    parser = commands.add_parser(
        "track",
        help="send the metrics of a run to experiment trackers",
        description="Send the stored metrics that a tracker does not have yet, as `ltro train --tracker` does during "
        "training. Needs the extra `trackers`.",
        epilog="example: ltro track runs/spread --tracker tensorboard",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=run_path, metavar="RUN", help="directory of a run or a sweep")
    parser.add_argument("--tracker", nargs="+", required=True, metavar="NAME", help=" or ".join(names))
    for name in ("tracker_project", "tracker_group"):
        spec = SETTINGS[name].metadata
        choices = f"; {' or '.join(spec['choices'])}" if "choices" in spec else ""
        words = f"{spec['help']}{choices} (default: as in the run)"
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", metavar="VALUE", help=words)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Send the metrics and print how many."""
    from ltro_jax.runs.sweep import open_runs
    from ltro_jax.runs.trackers import track

    for opened in open_runs([options.path]):
        sent = track(opened, options.tracker, options.tracker_project, options.tracker_group)
        for name, count in sent.items():
            print(f"{opened.path}: {count} iterations sent to {name}, which has all {opened.iteration}")
    return 0
