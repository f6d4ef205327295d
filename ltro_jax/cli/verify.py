"""`ltro verify`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, add_progress_options, progress_mode, set_cache
from ltro_jax.presets.bands import list_bands
from ltro_jax.process.paths import typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "verify",
        help="train a preset and compare its scores with the recorded ones",
        description=(
            "Train a preset with its recorded seeds and length, and compare the interquartile mean of its scores with "
            "the recorded band. Exit codes: 0 within the band, 1 outside, 2 bad input."
        ),
        epilog="recorded: " + ", ".join(f"{task} ({algorithm})" for task, algorithm in list_bands()),
    )
    parser.add_argument("preset", metavar="PRESET", help="preset, as listed by `ltro presets`")
    parser.add_argument("--algorithm", default="clip_happo", help="default clip_happo")
    parser.add_argument(
        "-o", "--out", type=typed_path, metavar="DIR", help="run directory (default runs/verify-<preset>-<algorithm>)"
    )
    add_progress_options(parser)
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, compare and print the comparison."""
    from ltro_jax.runs.verify import verify

    set_cache(options)
    mode, command = progress_mode(options), options.command_line
    result = verify(options.preset, options.algorithm, options.out, progress=mode, command=command)
    band, members = result.band, len(result.band.scores)
    print(f"{band.metric} of {members} seeds, {result.run.config.run.total_env_steps:,} env steps each:")
    print(f"  recorded   {band.iqm:.5g}, repetitions within [{band.low:.5g}, {band.high:.5g}] (99 %)")
    print(f"             {', '.join(f'{name} {value}' for name, value in band.recorded.items())}")
    print(f"  measured   {result.iqm:.5g}; {result.equal_members} of {members} members score as recorded")
    for difference in result.differences:
        print(f"  differs    {difference}")
    print("verified" if result.passed else "NOT verified: outside the band")
    return 0 if result.passed else 1
