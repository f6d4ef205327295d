"""Presets: a TOML file for each task with the paper's hyper-parameters for each algorithm.

A file has a table `[paper]` (the paper's name of the task, and the differences from its environment), a table
`[settings]` common to all algorithms, and a table for each algorithm. A table with `derived_from` copies the table of
another algorithm, where the paper lists no settings, so that comparisons differ in nothing else. A file with `based_on`
in `[paper]` lists only the settings that differ from those of another preset. Most presets have the name of their task.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, NamedTuple

from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.config.coercion import coerce
from ltro_jax.config.defaults import defaults_of
from ltro_jax.process.references import is_outside

if TYPE_CHECKING:
    from ltro_jax.config import Config

NOT_ALGORITHMS = ("paper", "settings")
NO_COUNTERPART = {"MMM2": "needs medivacs, which SMAX does not have"}  # tasks of the paper without a preset, and why


class PresetEntry(NamedTuple):
    """A preset × algorithm."""

    preset: str
    task: str
    algorithm: str
    derived_from: str | None  # None: the values are from the paper
    paper_task: str | None  # None: not a task of the paper
    differs: str  # from the paper's environment


def list_presets() -> list[PresetEntry]:
    """Every preset × algorithm, sorted by preset."""
    entries = []
    for preset in sorted(_preset_files()):
        tables = _read(preset)
        paper = tables["paper"]
        for algorithm in (name for name in tables if name not in NOT_ALGORITHMS):
            origin = tables[algorithm].get("derived_from")
            task = tables["settings"]["task"]
            entries.append(PresetEntry(preset, task, algorithm, origin, paper.get("task"), paper["differs"]))
    return entries


def load_preset(task: str, algorithm: str = "clip_happo", **overrides: Any) -> Config:
    """The preset `task`, for `algorithm`, with `overrides` by flat setting name; only the overrides count as given.

    An algorithm without a preset for the task, or a rule from outside the package, takes the settings of clip_happo
    and then applies its defaults.

    Raises:
        SettingsError: the preset or algorithm is unknown, or an override is invalid.
    """
    from ltro_jax.config import Config  # needs JAX; listing the presets does not

    task, algorithm = _names(task, algorithm)
    if task not in _preset_files():
        raise SettingsError(f"preset {task!r} is unknown; allowed are {', '.join(sorted(_preset_files()))}")
    tables = _read(task)
    if algorithm not in tables and _extends_clip_happo(algorithm):
        config = load_preset(task).replace(algorithm=algorithm, **overrides)
        return Config.stored(config.to_dict(), frozenset(overrides))
    if algorithm not in tables or algorithm in NOT_ALGORITHMS:
        known = ", ".join(name for name in tables if name not in NOT_ALGORITHMS)
        raise SettingsError(f"algorithm = {algorithm!r} has no preset for {task}; allowed are {known}")
    table = dict(tables[algorithm])
    origin = table.pop("derived_from", None)
    settings = tables["settings"] | (tables[origin] if origin else {}) | table
    return Config.stored(settings | {"algorithm": algorithm}).replace(**overrides)


def preset_or_defaults(task: str, algorithm: str = "clip_happo", **overrides: Any) -> Config:
    """As `load_preset`, or the default settings for a task without a preset."""
    from ltro_jax.config import Config

    task, algorithm = _names(task, algorithm)
    if task in _preset_files():
        return load_preset(task, algorithm, **overrides)
    return Config.stored({"task": task, "algorithm": algorithm}).replace(**overrides)


def usual_settings(task: str, algorithm: str) -> tuple[Config, str]:
    """The settings to compare a run with, and their origin: "preset", or "default" for a task without a preset.

    For a rule from outside, which is not imported, the settings of clip_happo.
    """
    usual = preset_or_defaults(task, "clip_happo" if is_outside(algorithm) else algorithm)
    return usual, "preset" if task in _preset_files() else "default"


def with_own_preset(config: Config, **changes: Any) -> Config:
    """Like `config.replace(**changes)`, but a change of `task` or `algorithm` loads the preset of both.

    `task` may name a preset. The result keeps settings that the user gave and settings that differ from the preset of
    `config`, because a stored run does not record which settings were given.

    Raises:
        SettingsError: as `preset_or_defaults` and `Config`.
    """
    from ltro_jax.config import Config

    if not changes.keys() & {"task", "algorithm"}:
        return config.replace(**changes)
    own, current = config.to_dict(), _preset_of(config)
    given = {name: own[name] for name in config.given - {"task", "algorithm"}}
    task = changes.get("task", current or own["task"])
    preset = preset_or_defaults(task, changes.get("algorithm", own["algorithm"])).to_dict()
    named = {name: preset[name] for name in ("task", "algorithm")}
    return Config.stored(preset | _differing(config, current) | given | changes | named, config.given | changes.keys())


def _preset_of(config: Config) -> str | None:
    """The preset of the task and algorithm of `config` whose settings differ from it the least; None if there is none.

    Given settings do not count. Of equal presets it is the one with the name of the task.
    """
    task, algorithm = config.static.task, config.static.algorithm
    named_alike = [name for name in _preset_files() if name.partition("/")[2] == task.partition("/")[2]]
    distance = {
        name: len(_differing(config, name).keys() - config.given)
        for name in named_alike
        if _read(name)["settings"]["task"] == task and (algorithm in _read(name) or _extends_clip_happo(algorithm))
    }
    return min(distance, key=lambda name: (distance[name], name != task, name), default=None)


def _extends_clip_happo(algorithm: str) -> bool:
    """Whether an algorithm that a preset does not list takes its settings of clip_happo."""
    return is_outside(algorithm) or bool(defaults_of(algorithm))


def _differing(config: Config, preset: str | None) -> dict[str, Any]:
    """The settings that differ from the preset (None: from the defaults)."""
    from ltro_jax.config import Config

    task, algorithm = config.static.task, config.static.algorithm
    usual = load_preset(preset, algorithm) if preset else Config.stored({"task": task, "algorithm": algorithm})
    defaults = usual.to_dict()
    return {name: value for name, value in config.to_dict().items() if value != defaults.get(name)}


def _names(task: object, algorithm: object) -> tuple[str, str]:
    """Both names without surrounding blanks."""
    return coerce("task", task, SETTINGS["task"].type), coerce("algorithm", algorithm, SETTINGS["algorithm"].type)


def task_files(suffix: str) -> dict[str, Traversable]:
    """Task → the file `<family>/<task><suffix>` in this package."""
    families = (entry for entry in files(__name__).iterdir() if entry.is_dir())
    return {
        f"{family.name}/{file.name.removesuffix(suffix)}": file
        for family in families
        for file in family.iterdir()
        if file.name.endswith(suffix)
    }


def _preset_files() -> dict[str, Traversable]:
    return task_files(".toml")


def _read(preset: str) -> dict[str, dict[str, Any]]:
    """The tables of a preset, complete where it is based on another one."""
    tables = tomllib.loads(_preset_files()[preset].read_text(encoding="utf-8"))
    origin = tables["paper"].get("based_on")
    if origin is None:
        return tables
    original = _read(origin)
    return {name: table | tables.get(name, {}) for name, table in original.items()}
