"""Bands: what a preset, trained with recorded seeds, scored here, and where another training of it ought to score.

`<family>/<task>.bands.json` beside the preset holds one for each algorithm that has been recorded, made by
`experiments/record_bands.py`.
"""

import json
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from ltro_jax.config import SettingsError
from ltro_jax.presets import task_files

SUFFIX = ".bands.json"


class Band(NamedTuple):
    """One preset × algorithm."""

    settings: dict[str, Any]  # what the recorded run changed in the preset: its seeds and its length among them
    metric: str
    scores: list[float]  # of every member, as recorded
    iqm: float  # of the scores
    low: float  # another training's interquartile mean is within [low, high] …
    high: float  # … in 99 of 100 repetitions
    recorded: dict[str, str]  # date, versions, device


def list_bands() -> list[tuple[str, str]]:
    """(task, algorithm) of every band."""
    return [(task, algorithm) for task, file in sorted(task_files(SUFFIX).items()) for algorithm in _read(file)]


def load_band(task: str, algorithm: str) -> Band:
    """The band of `task` and `algorithm`.

    Raises:
        SettingsError: none has been recorded; it names those that there are.
    """
    if (task, algorithm) not in list_bands():
        known = ", ".join(f"{name} --algorithm {recorded}" for name, recorded in list_bands())
        raise SettingsError(f"nothing is recorded for {task} with algorithm = {algorithm!r}; there are {known}")
    return Band(**_read(task_files(SUFFIX)[task])[algorithm])


def _read(file: Traversable) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
