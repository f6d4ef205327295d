"""Options that several commands share."""

import argparse
import os
from collections.abc import Collection
from typing import Any

from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.runs.compilation_cache import VARIABLE

TITLES = {
    "static": "settings of the program (a change compiles anew)",
    "hypers": "hyper-parameters (a change compiles nothing)",
    "run": "settings of the run",
}


def add_settings(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Every setting as `--name value`; values are checked by `Config`, which names what is allowed."""
    groups = {group: parser.add_argument_group(title) for group, title in TITLES.items()}
    for name, spec in SETTINGS.items():
        if name in leave_out:
            continue
        default = "none" if spec.default is None else spec.default
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
        choices = f"; {' or '.join(spec.metadata['choices'])}" if "choices" in spec.metadata else ""
        names = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        groups[spec.group].add_argument(
            *names,
            dest=f"setting_{name}",
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"{spec.metadata['help']}{choices} (default {default}, unless the preset says otherwise)",
        )


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line, as text."""
    prefix = "setting_"
    return {name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)}


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Which policy of a run; `chosen_policy` reads them."""
    parser.add_argument("path", metavar="RUN", help="run directory")
    parser.add_argument("--seed", type=int, help="whose policy (default: the run's first seed)")
    parser.add_argument("--point", nargs="+", metavar="NAME=VALUE", help="of the run's grid, e.g. actor_lr=3e-4")
    parser.add_argument("--iteration", type=int, help="of a stored checkpoint (default: the newest)")
    parser.add_argument("--best", action="store_true", help="the policy of the seed's best evaluation during training")


def chosen_policy(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `load_policy` but the path."""
    point = None
    if options.point:
        try:
            point = {name: float(value) for name, value in (word.split("=") for word in options.point)}
        except ValueError:
            words = " ".join(options.point)
            raise SettingsError(f"point = {words!r} is not names with a value each, as in actor_lr=3e-4") from None
    return {"seed": options.seed, "iteration": options.iteration, "point": point, "best": options.best}


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """`--compilation_cache`."""
    parser.add_argument(
        "--compilation_cache",
        "--compilation-cache",
        metavar="DIR",
        help=f"where compiled programs are kept, or off (default: ~/.cache/ltro_jax/xla; variable {VARIABLE})",
    )


def set_cache(options: argparse.Namespace) -> None:
    """Pass the choice on to the runner."""
    if options.compilation_cache:
        os.environ[VARIABLE] = options.compilation_cache
