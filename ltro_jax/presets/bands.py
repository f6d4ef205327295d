"""Bands: the recorded scores of a preset, and the range in which the score of another training is expected.

`<family>/<task>.bands.json` next to the preset has a band for each recorded algorithm;
`experiments/record_bands.py` writes it.
"""

import json
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from ltro_jax.config import SettingsError
from ltro_jax.presets import task_files

SUFFIX = ".bands.json"


class Band(NamedTuple):
    """The band of a preset × algorithm."""

    settings: dict[str, Any]  # of the recorded run where they differ from the preset, such as seeds and length
    metric: str
    scores: list[float]  # of every member, as recorded
    iqm: float  # of the scores
    low: float  # the interquartile mean of another training is within [low, high] …
    high: float  # … in 99 of 100 repetitions
    recorded: dict[str, str]  # date, versions, device


def list_bands() -> list[tuple[str, str]]:
    """(task, algorithm) of every band."""
    return [(task, algorithm) for task, file in sorted(task_files(SUFFIX).items()) for algorithm in _read(file)]


def load_band(task: str, algorithm: str) -> Band:
    """The band of `task` and `algorithm`.

    Raises:
        SettingsError: no band is recorded; it lists the recorded ones.
    """
    if (task, algorithm) not in list_bands():
        known = ", ".join(f"{name} --algorithm {recorded}" for name, recorded in list_bands())
        raise SettingsError(f"nothing is recorded for {task} with algorithm = {algorithm!r}; choose one of {known}")
    return Band(**_read(task_files(SUFFIX)[task])[algorithm])


def _read(file: Traversable) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
