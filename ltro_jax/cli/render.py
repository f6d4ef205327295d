"""`ltro render`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, add_policy_options, chosen_policy, set_cache
from ltro_jax.process.paths import typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "render",
        help="draw episodes of a policy as GIF, MP4 or a web page",
        description="Draw whole episodes of one seed's policy or of an exported policy. Output for mpe, smax and "
        "swimmer is .gif or, with ffmpeg, .mp4; for mabrax it is .html, which a browser plays.",
        epilog="example: ltro render runs/spread --seed 3 --episodes 3 -o spread.gif",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_policy_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=typed_path,
        metavar="FILE",
        required=True,
        help="output file ending in .gif, .mp4 or .html",
    )
    parser.add_argument("--episodes", type=int, default=1, help="number of episodes to draw (default 1)")
    parser.add_argument("--max_steps", "--max-steps", type=int, help="most steps of each episode (default: all)")
    parser.add_argument(
        "--sampled", action="store_true", help="sample actions, as in training, instead of acting greedily"
    )
    parser.add_argument("--fps", type=int, default=10, help="frames per second (default 10)")
    parser.add_argument(
        "--reset_seed", "--reset-seed", type=int, default=0, help="seed of the first states (default 0)"
    )
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw and print the path."""
    from ltro_jax.export.film import render

    set_cache(options)
    names = ("episodes", "max_steps", "sampled", "fps", "reset_seed")
    output = render(
        options.path,
        options.output,
        **chosen_policy(options),
        **{name: getattr(options, name) for name in names},
    )
    print(f"drawn: {output}")
    return 0
