"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.config.coercion import NAMES
from ltro_jax.process.paths import run_path
from ltro_jax.process.references import VARIABLE, allow_imports, is_reference, module_of

if TYPE_CHECKING:
    from ltro_jax.runs.progress import Mode

TITLES = {
    "static": "settings of the program (a change recompiles)",
    "hypers": "hyper-parameters (a change compiles nothing)",
    "run": "settings of the run",
}


def add_settings(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Every setting as `--name value`; values are checked by `Config`, which names what is allowed."""
    groups = {group: parser.add_argument_group(title) for group, title in TITLES.items()}
    for name, spec in SETTINGS.items():
        if name in leave_out:
            continue
        default = "none" if spec.default in (None, ()) else spec.default
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
        choices = f"; {' or '.join(spec.metadata['choices'])}" if "choices" in spec.metadata else ""
        names = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        groups[spec.group].add_argument(
            *names,
            dest=f"setting_{name}",
            default=argparse.SUPPRESS,
            metavar="NAME" if spec.type == NAMES else "VALUE",
            nargs="+" if spec.type == NAMES else None,
            help=f"{spec.metadata['help']}{choices} (default {default}, unless the preset says otherwise)",
        )


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line, as text."""
    prefix = "setting_"
    return {name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)}


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """`--allow-import`."""
    parser.add_argument(
        "--allow-import",
        "--allow_import",
        action="append",
        default=[],
        metavar="MODULE",
        help=f"let a run whose algorithm is MODULE:rule import it; repeatable, or a,b (default: ${VARIABLE})",
    )


def allow_named_imports(options: argparse.Namespace) -> None:
    """Let references import the modules that this command line names, as they lie in the current directory too."""
    given = vars(options)
    named = [part for words in given.get("allow_import", []) for part in words.split(",")]
    named += [str(given.get(name) or "") for name in ("setting_algorithm", "algorithm")]
    named += given.get("algorithms") or []
    for axis in given.get("grid") or []:
        name, _, values = axis.partition("=")
        named += values.replace(";", ",").split(",") if name == "algorithm" else []
    if given.get("allow_import") or any(map(is_reference, named)):
        allow_imports(*map(module_of, named), folder=os.getcwd())


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Which policy of a run; `chosen_policy` reads them."""
    parser.add_argument("path", type=run_path, metavar="RUN", help="run directory")
    parser.add_argument("--seed", type=int, help="whose policy (default: the run's first seed)")
    parser.add_argument("--point", nargs="+", metavar="NAME=VALUE", help="of the run's grid, e.g. actor_lr=3e-4")
    parser.add_argument("--iteration", type=int, help="of a stored checkpoint (default: the newest)")
    parser.add_argument("--best", action="store_true", help="the policy of the seed's best evaluation during training")
    add_import_option(parser)


def chosen_policy(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `load_policy` but the path."""
    point = None
    if options.point:
        try:
            pairs = [word.split("=") for word in options.point]
            point = {name.replace("-", "_"): float(value) for name, value in pairs}
            if len(point) < len(pairs):
                raise ValueError
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
        help="where compiled programs are kept, or off (default: $LTRO_COMPILATION_CACHE, else ~/.cache/ltro_jax/xla)",
    )


def set_cache(options: argparse.Namespace) -> None:
    """Pass the choice on to the runner, for this command only."""
    from ltro_jax.runs.compilation_cache import CHOICE

    CHOICE.set(options.compilation_cache)


def add_progress_options(parser: argparse.ArgumentParser) -> None:
    """`--quiet` and `--progress`."""
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")
    parser.add_argument(
        "--progress",
        choices=("text", "json"),
        default="text",
        help="lines to read, or a JSON object on each line (default text)",
    )


def progress_mode(options: argparse.Namespace) -> Mode:
    """What the runner is told."""
    if options.quiet:
        return False
    return "json" if options.progress == "json" else True
