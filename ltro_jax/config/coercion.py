"""Values as they come from Python, TOML, JSON or a command line, to the types of the settings."""

import types
import typing
from collections.abc import Mapping
from typing import Any

GRID = tuple[tuple[str, tuple[float, ...]], ...]
NAMES = tuple[str, ...]
TUPLE_WORDS = {GRID: "names with values like actor_lr=3e-4,5e-4 factor_clip=1,inf", NAMES: "one name or several"}


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence naming the key, its value and what is allowed."""

    exit_code = 2  # of a command


def coerce(name: str, value: Any, kind: Any) -> Any:
    """Convert a Python, TOML, JSON or command-line value of the setting `name` to its type `kind`.

    Raises:
        SettingsError: it cannot be one.
    """
    if typing.get_origin(kind) is types.UnionType:  # int | None
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    try:
        if kind == GRID:
            return parse_grid(value)
        if kind == NAMES:
            return parse_names(value)
        if typing.get_origin(kind) is tuple:
            return parse_integers(value)
        if kind is bool:
            return _to_bool(value)
        if kind is int:
            return _to_int(value)
        if kind is float:
            return float(value.replace("_", "") if isinstance(value, str) else value)
        if not isinstance(value, str):
            raise ValueError
        return value
    except (TypeError, ValueError, OverflowError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}.get(
            kind, TUPLE_WORDS.get(kind, "whole numbers like 0:10 or 1,4,9")
        )
        raise SettingsError(f"{name} = {value!r} is not {wanted}") from None


def _to_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).lower()
    if text not in words:
        raise ValueError
    return words[text]


def _to_int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    number = float(value.replace("_", "")) if isinstance(value, str) else value
    if number != int(number):
        raise ValueError
    return int(number)


MAX_INTEGERS = 1_000_000  # a longer range is a slip of the pen


def parse_integers(value: Any) -> tuple[int, ...]:
    """`"0:4"` → (0, 1, 2, 3), `"1,4,9"` → (1, 4, 9); a number or a sequence of numbers is taken as it is."""
    if isinstance(value, str):
        numbers: list[int] = []
        for part in value.strip("[]() ").rstrip(",").split(","):
            first, colon, last = part.partition(":")
            span = range(_to_int(first), _to_int(last)) if colon else (_to_int(first),)
            if len(span) > MAX_INTEGERS:
                raise ValueError
            numbers += span
        return tuple(numbers)
    if isinstance(value, int):
        return (_to_int(value),)
    return tuple(_to_int(item) for item in value)


def parse_names(value: Any) -> tuple[str, ...]:
    """`"wandb,mlflow"`, `"wandb mlflow"` or a sequence of names → ("wandb", "mlflow"); `none` and `""` are empty."""
    words = (value if isinstance(value, str) else " ".join(map(str, value))).replace(",", " ").split()
    return () if [word.lower() for word in words] == ["none"] else tuple(words)


def parse_grid(value: Any) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """`"actor_lr=3e-4,5e-4 gamma=0.9"`, a mapping or pairs → ((name, values), …); `none` and `""` are empty."""
    if isinstance(value, str):
        words = [] if value.lower() == "none" else value.split()
        if any(word.count("=") != 1 for word in words):
            raise ValueError
        value = [(name, values.split(",")) for name, values in (word.split("=") for word in words)]
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((str(name).replace("-", "_"), tuple(float(item) for item in values)) for name, values in pairs)
