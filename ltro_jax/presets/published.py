"""Published results: final values of other implementations, from `published.toml`."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

FILE = "published.toml"


class Published(NamedTuple):
    """The published value of one algorithm on one task."""

    task: str  # our task with the same environment and rewards
    algorithm: str
    value: float
    settings: Mapping[str, Any]  # that a run of the task needs for its return to have the same unit
    unit: str
    steps: int  # environment steps after which it was measured
    source: str
    reading: str  # how it was read, such as "table" or "read by eye from a figure"


def published_values() -> list[Published]:
    """All published values, in the order of the file."""
    groups = tomllib.loads((files("ltro_jax.presets") / FILE).read_text(encoding="utf-8"))["group"]
    return [
        Published(task, algorithm, float(value), **group)
        for group in groups
        for task, values in group.pop("values").items()
        for algorithm, value in values.items()
    ]


def comparable_values(settings: Mapping[str, Any]) -> list[Published]:
    """The published values of the task of a run whose returns have the same unit, for all algorithms.

    Args:
        settings: of the run, by flat name; None stands for the default of the task, which is the published one.
    """
    return [
        published
        for published in published_values()
        if published.task == settings["task"]
        and all(settings.get(name) in (None, value) for name, value in published.settings.items())
    ]
