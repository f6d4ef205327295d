"""Every setting by its flat name: group, type, default, help and what it may be. Needs no JAX."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from ltro_jax.config.groups import HyperSettings, RunSettings, Static

GROUPS = ("static", "hypers", "run")


class SettingSpec(typing.NamedTuple):
    """Where a setting lives and what it may be."""

    group: str
    type: Any
    default: Any
    metadata: Mapping[str, Any]


def _specs() -> dict[str, SettingSpec]:
    specs = {}
    for group, cls in zip(GROUPS, (Static, HyperSettings, RunSettings), strict=True):
        hints = typing.get_type_hints(cls)
        for item in dataclasses.fields(cls):
            kind = float if group == "hypers" else hints[item.name]
            specs[item.name] = SettingSpec(group, kind, item.default, item.metadata)
    return specs


SETTINGS: dict[str, SettingSpec] = _specs()
