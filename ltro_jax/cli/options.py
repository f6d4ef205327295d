"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.config.coercion import NAMES, setting_text
from ltro_jax.config.families import families_with, option_names
from ltro_jax.config.specs import SettingSpec, limits_text
from ltro_jax.process.paths import run_path
from ltro_jax.process.references import VARIABLE, allow_imports, is_reference, module_of

if TYPE_CHECKING:
    from ltro_jax.runs.progress import Mode

TITLES = {
    "static": "static settings (a change recompiles)",
    "hypers": "hyper-parameters (a change does not recompile)",
    "run": "run settings",
}


def add_settings(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Add every setting as `--name value`, and after them the options of the environment families.

    `Config` checks the values and names what is allowed. An option that several families have is listed with all of
    them: its type, default and choices may differ.
    """
    groups = {group: parser.add_argument_group(title) for group, title in TITLES.items()}
    for name, spec in SETTINGS.items():
        if name not in leave_out:
            words = f"{_meaning(spec)} (default {_default(spec)}, unless the preset sets another value)"
            _add_setting(groups[spec.group], name, words, several=spec.type == NAMES)
    of_families = {}
    for name in option_names():
        specs = families_with(name)
        *others, last = (f"{family}/…" for family in specs)
        families = f"{', '.join(others)} and {last}" if others else last
        title = f"options of {families} (a change recompiles)"
        if name not in leave_out:
            group = of_families.get(title) or of_families.setdefault(title, parser.add_argument_group(title))
            words = [f"{_meaning(spec)} (default {_default(spec)})" for spec in specs.values()]
            if len(set(words)) > 1:
                words = [f"{family}: {text}" for family, text in zip(specs, words, strict=True)]
            several = any(spec.type == NAMES for spec in specs.values())
            _add_setting(group, name, "; ".join(dict.fromkeys(words)), several)


def _add_setting(group: argparse._ArgumentGroup, name: str, words: str, several: bool) -> None:
    group.add_argument(
        *dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}")),
        dest=f"setting_{name}",
        default=argparse.SUPPRESS,
        metavar="NAME" if several else "VALUE",
        nargs="+" if several else None,
        help=words.replace("%", "%%"),
    )


def _meaning(spec: SettingSpec) -> str:
    choices = f": {limits_text(spec.metadata)}" if "choices" in spec.metadata else ""
    return spec.metadata["help"] + choices


def _default(spec: SettingSpec) -> str:
    if isinstance(spec.default, float):
        return f"{spec.default:g}"  # `setting_text` would import NumPy
    return "none" if spec.default == () else setting_text(spec.default).lower()


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings given on the command line, as text."""
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
    references = ("algorithm", "network", "core")
    named += [str(given.get(name) or "") for name in (*(f"setting_{name}" for name in references), "algorithm")]
    named += given.get("algorithms") or []
    for axis in given.get("grid") or []:
        name, _, values = axis.partition("=")
        named += values.replace(";", ",").split(",") if name in references else []
    if given.get("allow_import") or any(map(is_reference, named)):
        allow_imports(*map(module_of, named), folder=os.getcwd())


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Options that select a policy of a run; `chosen_policy` reads them."""
    parser.add_argument("path", type=run_path, metavar="RUN", help="run directory")
    parser.add_argument("--seed", type=int, help="seed of the policy (default: the first seed of the run)")
    parser.add_argument(
        "--point", nargs="+", metavar="NAME=VALUE", help="point of the grid of the run, e.g. actor_lr=3e-4"
    )
    parser.add_argument("--iteration", type=int, help="iteration of a stored checkpoint (default: the newest)")
    parser.add_argument(
        "--best", action="store_true", help="use the policy with the best evaluation of the seed during training"
    )
    add_import_option(parser)


def chosen_policy(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `load_policy` except the path."""
    point = None
    if options.point:
        try:
            pairs = [word.split("=") for word in options.point]
            point = {name.replace("-", "_"): float(value) for name, value in pairs}
            if len(point) < len(pairs):
                raise ValueError
        except ValueError:
            words = " ".join(options.point)
            raise SettingsError(f"point = {words!r} is not a list of NAME=VALUE, such as actor_lr=3e-4") from None
    return {"seed": options.seed, "iteration": options.iteration, "point": point, "best": options.best}


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add `--compilation_cache`."""
    parser.add_argument(
        "--compilation_cache",
        "--compilation-cache",
        metavar="DIR",
        help="directory of compiled programs, or off (default: $LTRO_COMPILATION_CACHE, else ~/.cache/ltro_jax/xla)",
    )


def set_cache(options: argparse.Namespace) -> None:
    """Pass the choice to the runner, for this command only."""
    from ltro_jax.runs.compilation_cache import CHOICE

    CHOICE.set(options.compilation_cache)


def add_progress_options(parser: argparse.ArgumentParser) -> None:
    """Add `--quiet` and `--progress`."""
    parser.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    parser.add_argument(
        "--progress",
        choices=("text", "json"),
        default="text",
        help="text (a bar on a terminal), or a JSON object on each line (default text)",
    )


def progress_mode(options: argparse.Namespace) -> Mode:
    """The progress mode of the runner."""
    if options.quiet:
        return False
    return "json" if options.progress == "json" else True
