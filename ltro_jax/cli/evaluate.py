"""`ltro eval`."""

import argparse
from typing import Any

import numpy as np

from ltro_jax.cli.options import add_cache_option, set_cache
from ltro_jax.config import SettingsError
from ltro_jax.runs import load_run


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "eval",
        help="evaluate the newest checkpoint of a run",
        description="Whole episodes with every seed's newest policy, greedy and sampled; kept as RUN/evaluation.json. "
        "The mean is over the members that are not frozen.",
    )
    parser.add_argument("path", metavar="RUN", help="run directory")
    parser.add_argument("--episodes", type=int, default=100, help="episodes per seed and kind (default 100)")
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, print a table and keep it."""
    if options.episodes < 1:
        raise SettingsError(f"episodes = {options.episodes} is not allowed; it must be at least 1")
    set_cache(options)
    opened = load_run(options.path)
    result = opened.evaluate(options.episodes)
    static = opened.config.static
    print(
        f"{static.algorithm} on {static.task}, iteration {result.attrs['iteration']}, {options.episodes} episodes; "
        f"return = team reward ({result.attrs['team_reward']}) summed over the episode"
    )
    words = [opened.config.describe(member).removeprefix("seed ") for member in opened.config.members]
    width = max(8, *map(len, words))
    print(f"{'seed':>{width}} {'greedy':>10} {'sampled':>10}")
    greedy, sampled = result["eval_return_greedy"].values, result["eval_return_sampled"].values
    for member, *row, frozen_at in zip(words, greedy, sampled, result["frozen_at"].values, strict=True):
        mark = f"  frozen at iteration {frozen_at} (non-finite)" if frozen_at >= 0 else ""
        print(f"{member:>{width}} {row[0]:>10.2f} {row[1]:>10.2f}{mark}")
    healthy = result["frozen_at"].values < 0
    if healthy.any():
        print(f"{'mean':>{width}} {np.mean(greedy[healthy]):>10.2f} {np.mean(sampled[healthy]):>10.2f}")
    columns = {name: variable.values.tolist() for name, variable in result.variables.items()}
    opened.directory.write_json("evaluation.json", {str(k): v for k, v in columns.items()} | dict(result.attrs))
    return 0
