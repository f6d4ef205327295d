"""`ltro theory`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, set_cache
from ltro_jax.config.studies import STUDIES, TheorySettings
from ltro_jax.process.paths import typed_path

HELP = {
    "games": "random games in each study",
    "num_states": "states of each game",
    "gamma": "discount factor",
    "factor_clips": "clamps; inf is no clamp",
    "kl_thresholds": "step sizes in nats (variance, improvement)",
    "agents": "numbers of agents, with two actions each (variance)",
    "num_agents": "agents (improvement, nash_gap)",
    "num_actions": "actions of each agent (improvement, nash_gap)",
    "iterations": "iterations (improvement)",
    "gap_iterations": "iterations (nash_gap)",
    "gap_kl_threshold": "size of trust-region steps in nats (nash_gap)",
    "learning_rate": "of gradient steps (nash_gap)",
    "seed": "of the games, the first policies and the orders",
}


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "theory",
        help="measure the paper's claims exactly, on random games",
        description="Exact studies on small random games: variance against positions and agents (variance), "
        "improvement against its lower bound (improvement), Nash gap against iterations (nash_gap). Each writes a "
        "plot (PNG, PDF), a table (CSV, Markdown) and a dataset.",
        epilog="example: ltro theory --studies nash_gap --games 200 -o runs/gap",
    )
    parser.add_argument("-o", "--output", type=typed_path, metavar="DIR", help="default: runs/theory-<time>")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES), help="default: all")
    for name, words in HELP.items():
        default = getattr(TheorySettings, name)
        values = default if isinstance(default, tuple) else (default,)
        parser.add_argument(
            f"--{name}",
            nargs="+" if isinstance(default, tuple) else None,
            type=type(values[0]),
            default=default,
            help=f"{words} (default {' '.join(f'{value:g}' for value in values)})",
        )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, write, and print the reports."""
    from ltro_jax.laboratories.games.study import run_studies
    from ltro_jax.storage import output_directory

    set_cache(options)
    settings = TheorySettings(**{name: getattr(options, name) for name in HELP})
    with output_directory(options.output, "theory") as output:
        written = run_studies(options.studies, settings, output, _silent if options.quiet else _say)
    if not options.quiet:
        for path in written:
            if path.suffix == ".md":
                print(path.read_text())
        print(f"{len(written)} files in {output}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _silent(_: str) -> None:
    pass
