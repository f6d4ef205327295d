"""`ltro train`."""

import argparse
from typing import Any

from ltro_jax.cli.options import (
    add_cache_option,
    add_progress_options,
    add_settings,
    given_settings,
    progress_mode,
    set_cache,
)
from ltro_jax.process.paths import typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "train",
        help="train a preset with several seeds",
        description="Train a preset (see `ltro presets`) or, with default settings, any task of `ltro envs`.",
        epilog="example: ltro train mpe/simple_spread --algorithm clip_happo --seeds 0:8 --total_env_steps 1e6",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("preset", metavar="PRESET", help="task to train on, e.g. mpe/simple_spread")
    parser.add_argument(
        "--out", type=typed_path, metavar="DIR", help="new run directory (default: runs/<task>-<algorithm>-<time>)"
    )
    add_progress_options(parser)
    add_cache_option(parser)
    add_settings(parser, leave_out=("task",))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train; return 130 if Ctrl-C stops the training before its end."""
    from ltro_jax.presets import preset_or_defaults
    from ltro_jax.runs import train

    set_cache(options)
    settings = given_settings(options)
    config = preset_or_defaults(options.preset, settings.pop("algorithm", "clip_happo"), **settings)
    result = train(config, options.out, progress=progress_mode(options), command=options.command_line)
    return 0 if result.finished else 130
