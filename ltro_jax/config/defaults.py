"""Defaults of settings that depend on the algorithm.

This room knows no algorithm. The package connects it with them when it is imported.
"""

from collections.abc import Callable, Mapping
from typing import Any

_lookup: Callable[[str], Mapping[str, Any]] = lambda algorithm: {}


def connect(lookup: Callable[[str], Mapping[str, Any]]) -> None:
    """Set where `defaults_of` looks: a function from an algorithm's name to settings, empty for an unknown name."""
    global _lookup
    _lookup = lookup


def defaults_of(algorithm: Any) -> Mapping[str, Any]:
    """Settings of an algorithm whose defaults differ from those of `SETTINGS`."""
    return _lookup(algorithm.strip()) if isinstance(algorithm, str) else {}
