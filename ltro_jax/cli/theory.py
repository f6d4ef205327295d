"""`ltro theory`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, set_cache
from ltro_jax.config.studies import STUDIES, TheorySettings
from ltro_jax.process.paths import typed_path

HELP = {
    "games": "number of random games in each study",
    "num_states": "number of states of each game",
    "gamma": "discount factor",
    "factor_clips": "bounds of the factor; inf = none",
    "factor_epsilons": "half widths ε' of the rule two_sided (factor_rules)",
    "factor_powers": "exponents α of the rule power (factor_rules)",
    "num_samples": "batch sizes of the mean squared error (factor_rules)",
    "kl_thresholds": "step sizes in nats (variance, factor_rules, improvement)",
    "agents": "numbers of agents, with two actions each (variance, factor_rules)",
    "num_agents": "number of agents (improvement, nash_gap)",
    "num_actions": "number of actions of each agent (improvement, nash_gap)",
    "iterations": "number of iterations (improvement)",
    "gap_iterations": "number of iterations (nash_gap)",
    "gap_kl_threshold": "step size of trust-region updates in nats (nash_gap)",
    "learning_rate": "learning rate of gradient steps (nash_gap)",
    "seed": "seed of the games, the initial policies and the update orders",
}


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "theory",
        help="check the paper's claims exactly on random games",
        description="Exact studies on small random games: variance against positions and agents (variance), "
        "bias and variance of each weight of the factor (factor_rules), improvement against its lower bound "
        "(improvement), Nash gap against iterations (nash_gap). Each writes a plot (PNG, PDF), a table (CSV, Markdown) "
        "and a dataset.",
        epilog="example: ltro theory --studies nash_gap --games 200 -o runs/gap",
    )
    parser.add_argument(
        "-o", "--output", type=typed_path, metavar="DIR", help="directory (default: runs/theory-<time>)"
    )
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES), help="studies (default: all)")
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
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the studies, write the results and print the tables."""
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
