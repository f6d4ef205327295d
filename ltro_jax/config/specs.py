"""How a setting is declared and checked: a dataclass field with a default, a help text and a range. Needs no JAX."""

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any, NamedTuple, cast

from ltro_jax.config.coercion import SettingsError, SettingValue, quoted

LIMITS = (
    ("above", "greater than", lambda item, limit: item > limit),
    ("at_least", "at least", lambda item, limit: item >= limit),
    ("at_most", "at most", lambda item, limit: item <= limit),
)


class SettingSpec(NamedTuple):
    """What a setting belongs to and what it may be."""

    group: str  # static, hypers or run
    type: object
    default: SettingValue
    metadata: Mapping[str, Any]  # help, and what `setting` was given besides


def setting(default: SettingValue, help: str, compare: bool = True, **check: object) -> Any:
    """A dataclass field with its help text and its range (`above`, `at_least`, `at_most`, `choices`).

    Runs that differ only in settings with `compare = False` are the same run.
    """
    return field(default=default, compare=compare, metadata={"help": help, **check})


@functools.cache
def field_specs(cls: type, group: str = "static") -> Mapping[str, SettingSpec]:
    """Every field of `cls` that `setting` declares, by name; hyper-parameters are floats."""
    hints = typing.get_type_hints(cls)
    specs = {}
    for item in dataclasses.fields(cls):
        if "help" in item.metadata:
            kind, default = float if group == "hypers" else hints[item.name], cast(SettingValue, item.default)
            specs[item.name] = SettingSpec(group, kind, default, item.metadata)
    return specs


def check_range(name: str, value: SettingValue, allowed: Mapping[str, Any]) -> None:
    """Refuse a value outside `allowed`; a sequence is checked item by item, and None is always allowed.

    Raises:
        SettingsError: it names the setting, the value and what is allowed.
    """
    if value is None:
        return
    items = value if isinstance(value, tuple) else (value,)
    for item in items:
        if "choices" in allowed and item not in allowed["choices"]:
            raise SettingsError(f"{name} = {item!r} is not one of {', '.join(allowed['choices'])}")
    for key, words, holds in LIMITS:
        if key in allowed and not items:
            raise SettingsError(f"{name} is empty; give at least one number")
        if key in allowed and not all(holds(item, allowed[key]) for item in items):
            raise SettingsError(f"{name} = {quoted(value)} is not allowed; it must be {words} {allowed[key]}")


def limits_text(metadata: Mapping[str, Any]) -> str:
    """The range of a setting in words: `sum or mean`, `at least 1, at most 4096`; empty where anything is allowed."""
    if "choices" in metadata:
        *others, last = metadata["choices"]
        return f"{', '.join(others)} or {last}" if others else last
    return ", ".join(f"{words} {metadata[key]}" for key, words, _ in LIMITS if key in metadata)
