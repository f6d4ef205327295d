"""Convert values from Python, TOML, JSON or a command line to the types of the settings."""

import operator
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat

from ltro_jax.process.references import give

GRID = tuple[tuple[str, tuple[float, ...]], ...]
NAMES = tuple[str, ...]
NUMBERS = tuple[float, ...]
SettingValue = bool | int | float | str | tuple[Any, ...] | None
TYPE_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a name",
    GRID: "names with values like actor_lr=3e-4,5e-4 factor_clip=1,inf",
    NAMES: "one name or several",
    NUMBERS: "numbers like 1,0.5",
}
MAX_INTEGERS = 1_000_000  # a longer range is a typing error
MAX_INTEGER = 2**63 - 1
SHOWN = 80  # characters of a value that a sentence quotes


class SettingsError(ValueError):
    """A setting is invalid; the message is one sentence that names the setting, its value and what is allowed."""

    exit_code = 2  # of the command


class _TooMuchError(ValueError):
    """A value is too large for its type; the message completes the sentence after the value."""


TOO_LARGE = "is too large; a whole number must be below 2**63"


def coerce(name: str, value: object, kind: object) -> Any:
    """Convert a Python, TOML, JSON or command-line value of the setting `name` to its type `kind`.

    Scalars of NumPy and JAX are accepted as Python scalars; surrounding blanks are ignored.

    Raises:
        SettingsError: the value cannot be converted.
    """
    given, value = value, value.strip() if isinstance(value, str) else value
    optional = without_none(kind)
    if optional != kind and is_none(value):
        return None
    kind = optional
    try:
        if kind == GRID:
            return parse_grid(value)
        if kind == NAMES:
            return parse_names(value)
        if kind == NUMBERS:
            return parse_numbers(value)
        if typing.get_origin(kind) is tuple:
            return parse_integers(value)
        if kind is bool:
            return _to_bool(value)
        if kind is int:
            return _to_int(value)
        if kind is float:
            return _to_float(value)
        if isinstance(value, type) and kind is str:  # a class stands for its name
            return give(value)
        if not isinstance(value, str) or not value:
            raise ValueError
        return str(value)
    except _TooMuchError as error:
        raise SettingsError(f"{name} = {quoted(repr(given))} {error}") from None
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{name} = {quoted(repr(given))} is not {type_words(kind)}") from None


def type_words(kind: object) -> str:
    """A type in words: `a whole number`; None is not mentioned."""
    kind = without_none(kind)
    return TYPE_WORDS.get(kind, "whole numbers like 0:10 or 1,4,9")


def without_none(kind: object) -> object:
    """`int | None` → `int`; other types as they are."""
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind
    kinds = [option for option in typing.get_args(kind) if option is not type(None)]
    return kinds[0] if len(kinds) == 1 else kind


def is_none(value: object) -> bool:
    """Whether a value is None, or the word `none` on a command line."""
    return value is None or (isinstance(value, str) and value.strip().lower() == "none")


def number_text(value: SupportsFloat) -> str:
    """The shortest text that identifies a number in float32, the type of hyper-parameters.

    `0.0003`, `1`, `1e-05`, `0.9999999`, `inf`; digits beyond float32 are rounded.
    """
    import numpy as np  # not at the top: `ltro --help` does not need it

    short = f"{value:g}"
    with np.errstate(over="ignore"):
        exact = np.float32(value)
        return short if np.float32(short) == exact else str(exact).removesuffix(".0")


def setting_text(value: SettingValue) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(setting_text, value))
    if isinstance(value, float):
        return number_text(value)
    return "none" if value is None else str(value)


def quoted(value: object) -> str:
    """A value as an error message shows it, shortened if it is long."""
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _to_bool(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).lower()
    if text not in words:
        raise ValueError
    return words[text]


def _refuse_bool_and_array(value: object) -> None:
    """Refuse what Python and NumPy would convert to a number."""
    if isinstance(value, bool) or getattr(value, "dtype", None) == "bool" or getattr(value, "ndim", 0):
        raise ValueError


def _to_int(value: Any) -> int:
    _refuse_bool_and_array(value)
    try:
        number = int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        if isinstance(value, str) and value.strip("+-").isdecimal():
            raise _TooMuchError(TOO_LARGE) from None  # more digits than Python reads
        number = _to_float(value)  # 1e6, 2.0
        if number != int(number):
            raise ValueError from None
    if abs(number) > MAX_INTEGER:
        raise _TooMuchError(TOO_LARGE)
    return int(number)


def _to_float(value: Any) -> float:
    _refuse_bool_and_array(value)
    try:
        return float(value.replace("_", "") if isinstance(value, str) else value) + 0.0  # no negative zero
    except OverflowError:  # a whole number of more than 308 digits
        raise _TooMuchError("is too large for a number") from None


def parse_numbers(value: object) -> tuple[float, ...]:
    """`1,0.5` or a sequence of numbers."""
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, Iterable) else [value]
    return tuple(map(_to_float, items))


def parse_integers(value: object) -> tuple[int, ...]:
    """`"0:4"` → (0, 1, 2, 3), `"1,4,9"` → (1, 4, 9); also accepts a number or a sequence of numbers."""
    if not isinstance(value, str):
        items = list(value) if isinstance(value, Iterable) and getattr(value, "ndim", 1) else [value]
        _refuse_many(len(items))
        return tuple(map(_to_int, items))
    numbers: list[int] = []
    for part in value.strip("[]() ").rstrip(",").split(","):
        first, colon, last = part.partition(":")
        start = _to_int(first)
        stop = _to_int(last) if colon else start + 1
        _refuse_many(len(numbers) + stop - start)
        numbers += range(start, stop)
    return tuple(numbers)


def _refuse_many(count: int) -> None:
    if count > MAX_INTEGERS:
        raise _TooMuchError(f"is {count} numbers; at most {MAX_INTEGERS} are allowed")


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
    return tuple((str(name).replace("-", "_"), tuple(map(_to_float, values))) for name, values in pairs)
