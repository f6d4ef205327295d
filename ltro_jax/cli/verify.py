"""`ltro verify`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ltro_jax.cli.options import add_cache_option, add_progress_options, progress_mode, set_cache
from ltro_jax.presets.bands import list_bands
from ltro_jax.process.paths import typed_path

if TYPE_CHECKING:
    from ltro_jax.runs.verify import PublishedComparison


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "verify",
        help="train a preset and compare its scores with the recorded ones",
        description=(
            "Train a preset with its recorded seeds and length, and compare the interquartile mean of its scores with "
            "the recorded band. With --published, train the preset in full and print the distance to the published "
            "values of its task. Exit codes: 0 within the band or compared with published values, 1 outside the band, "
            "2 bad input."
        ),
        epilog="recorded: " + ", ".join(f"{task} ({algorithm})" for task, algorithm in list_bands()),
    )
    parser.add_argument("preset", metavar="PRESET", help="preset, as listed by `ltro presets`")
    parser.add_argument("--algorithm", default="clip_happo", help="default clip_happo")
    parser.add_argument(
        "--published",
        action="store_true",
        help="compare with published values instead of the recorded ones; a seed takes the preset's full length",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=typed_path,
        metavar="DIR",
        help="run directory (default runs/verify-<preset>-<algorithm>; --published: runs/published-…)",
    )
    add_progress_options(parser)
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, compare and print the comparison."""
    from ltro_jax.runs.verify import verify, verify_published

    set_cache(options)
    arguments = options.preset, options.algorithm, options.out
    mode, command = progress_mode(options), options.command_line
    if options.published:
        _print_published(verify_published(*arguments, progress=mode, command=command))
        return 0
    result = verify(*arguments, progress=mode, command=command)
    band, members = result.band, len(result.band.scores)
    print(f"{band.metric} of {members} seeds, {result.run.config.run.total_env_steps:,} env steps each:")
    print(f"  recorded   {band.iqm:.5g}, repetitions within [{band.low:.5g}, {band.high:.5g}] (99 %)")
    print(f"             {', '.join(f'{name} {value}' for name, value in band.recorded.items())}")
    print(f"  measured   {result.iqm:.5g}; {result.equal_members} of {members} members score as recorded")
    for difference in result.differences:
        print(f"  differs    {difference}")
    print("verified" if result.passed else "NOT verified: outside the band")
    return 0 if result.passed else 1


def _print_published(result: PublishedComparison) -> None:
    """The measured value, and the distance to each published one."""
    from ltro_jax.runs.scoring import metric_words

    static, run = result.run.config.static, result.run.config.run
    words = metric_words(result.metric, result.run.metrics.attrs["team_reward"])
    print(f"{words} of {len(run.seeds)} seeds, {run.total_env_steps:,} env steps each:")
    print(f"  measured   {static.algorithm} {result.iqm:.5g}")
    for published in result.published:
        print(
            f"  published  {published.algorithm} {published.value:g} after {published.steps:,} env steps "
            f"(measured − published = {result.distance(published):+.5g})"
        )
    for source in dict.fromkeys(f"{value.source}, {value.reading}" for value in result.published):
        print(f"  source     {source}")
