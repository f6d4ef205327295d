"""`ltro presets`."""

import argparse
import textwrap
from typing import Any

from ltro_jax.presets import NO_COUNTERPART, list_presets, load_preset
from ltro_jax.process import references
from ltro_jax.process.references import package_of, registered


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "presets", help="list presets and algorithms", description="List every preset, or all settings of one preset."
    )
    parser.add_argument("preset", nargs="?", metavar="PRESET", help="show the settings of this preset")
    parser.add_argument("--algorithm", default="clip_happo", help="algorithm to show (default clip_happo)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table of presets, or the settings of one preset."""
    from ltro_jax.algorithms import ALGORITHMS

    if options.preset:
        for name, value in load_preset(options.preset, options.algorithm).to_dict().items():
            print(f"{name} = {value}")
        return 0
    entries = list_presets()
    print(f"{'preset':<30} {'--algorithm':<12} {'task in the paper':<38} settings")
    for entry in entries:
        source = "paper" if entry.paper_task else "ltro_jax"
        origin = f"{entry.derived_from} with the defaults of {entry.algorithm}" if entry.derived_from else source
        print(f"{entry.preset:<30} {entry.algorithm:<12} {entry.paper_task or '-':<38} {origin}")
    print("\ndifferences from the paper's environments:")
    for preset, differs in {entry.preset: entry.differs for entry in entries}.items():
        print(textwrap.fill(f"{preset}: {differs}", 120, initial_indent="  ", subsequent_indent="    "))
    for task, reason in NO_COUNTERPART.items():
        print(f"  {task}: no counterpart; it {reason}")
    print("\nalgorithms:")
    for name, rule in ALGORITHMS.items():
        print(f"  {name:<12} {rule.summary}")
    for name, point in registered(references.ALGORITHMS).items():
        if name not in ALGORITHMS:
            print(f"  {name:<12} {point.value} of the package {package_of(point)}")
    return 0
