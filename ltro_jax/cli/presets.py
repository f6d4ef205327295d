"""`ltro presets`."""

import argparse
from typing import Any

from ltro_jax.algorithms import ALGORITHMS
from ltro_jax.presets import list_presets, load_preset


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "presets", help="list presets and algorithms", description="Every preset, or all settings of one."
    )
    parser.add_argument("preset", nargs="?", metavar="PRESET", help="show this one's settings")
    parser.add_argument("--algorithm", default="clip_happo", help="algorithm to show (default clip_happo)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table, or one preset's settings."""
    if options.preset:
        for name, value in load_preset(options.preset, options.algorithm).to_dict().items():
            print(f"{name} = {value}")
        return 0
    print(f"{'preset':<30} {'--algorithm':<12} settings")
    for entry in list_presets():
        origin = f"those of {entry.derived_from} with factor_clip = inf" if entry.derived_from else "the paper's"
        print(f"{entry.task:<30} {entry.algorithm:<12} {origin}")
    print("\nalgorithms:")
    for name, recipe in ALGORITHMS.items():
        print(f"  {name:<12} {recipe.summary}")
    return 0
