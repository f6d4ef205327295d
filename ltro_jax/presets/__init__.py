"""Presets: one TOML per task with the paper's hyper-parameters for each algorithm.

A file has a table `[settings]` common to all algorithms and a table for each algorithm. A table with `derived_from`
takes over another algorithm's table: the paper lists no settings of its own, and comparisons differ in nothing else.
"""

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from ltro_jax.config import Config, SettingsError


class PresetEntry(NamedTuple):
    """One task × algorithm."""

    task: str
    algorithm: str
    derived_from: str | None  # None: the paper's own numbers


def list_presets() -> list[PresetEntry]:
    """Every task × algorithm, sorted by task."""
    return [
        PresetEntry(task, algorithm, table.get("derived_from"))
        for task in sorted(_preset_files())
        for algorithm, table in _read(task).items()
        if algorithm != "settings"
    ]


def load_preset(task: str, algorithm: str = "clip_happo", **overrides: Any) -> Config:
    """Settings of `task` and `algorithm`, then `overrides` by flat setting name.

    Raises:
        SettingsError: no such preset or algorithm, or a wrong override.
    """
    if task not in _preset_files():
        raise SettingsError(f"preset {task!r} is unknown; allowed are {', '.join(sorted(_preset_files()))}")
    tables = _read(task)
    if algorithm not in tables or algorithm == "settings":
        known = ", ".join(name for name in tables if name != "settings")
        raise SettingsError(f"algorithm = {algorithm!r} has no preset for {task}; allowed are {known}")
    table = dict(tables[algorithm])
    origin = table.pop("derived_from", None)
    settings = tables["settings"] | (tables[origin] if origin else {}) | table
    return Config.from_dict(settings | {"algorithm": algorithm} | overrides)


def _preset_files() -> dict[str, Traversable]:
    families = (entry for entry in files(__name__).iterdir() if entry.is_dir())
    return {
        f"{family.name}/{file.name.removesuffix('.toml')}": file
        for family in families
        for file in family.iterdir()
        if file.name.endswith(".toml")
    }


def _read(task: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads(_preset_files()[task].read_text(encoding="utf-8"))
