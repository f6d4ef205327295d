"""Objects that a user names: `module:attribute`, or the name of an entry point.

A run directory names the objects that it was trained with, and may come from a stranger. A reference imports a module
only if somebody else has named it: the user (`allow_imports`, the variable LTRO_ALLOW_IMPORTS), the program that has
imported it already, or an installed package (its entry points).
"""

import importlib
import os
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

VARIABLE = "LTRO_ALLOW_IMPORTS"
_allowed: set[str] = set()


class ReferenceProblem(Exception):
    """A reference leads nowhere; the message is the end of a sentence that begins with the setting."""


def is_reference(text: str) -> bool:
    """Whether `text` is `module:attribute`."""
    return ":" in text


def module_of(reference: str) -> str:
    """The module of `module:attribute`."""
    return reference.partition(":")[0]


def allow_imports(*modules: str) -> None:
    """Let references of this process import `modules` (a package allows its submodules)."""
    _allowed.update(modules)


def resolve(reference: str) -> Any:
    """The object that `module:attribute` names.

    Raises:
        ReferenceProblem: the module is not allowed or not there, or it has no such attribute.
    """
    name, _, attribute = reference.partition(":")
    if not name or not attribute:
        raise ReferenceProblem("is no reference; write module:attribute")
    value: Any = _module(name)
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise ReferenceProblem(f"names nothing: the module {name} has no attribute {attribute}") from None
    return value


def _module(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    allowed = _allowed | {part.strip() for part in os.environ.get(VARIABLE, "").split(",")}
    if not any(name == other or name.startswith(f"{other}.") for other in allowed if other):
        raise ReferenceProblem(
            f"needs the module {name}, which is imported only with your permission: "
            f"add --allow-import {name}, or set {VARIABLE}={name}"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ReferenceProblem(
            f"needs the module {name}, which is not there; install it or add its folder to PYTHONPATH"
        ) from None


@cache
def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; an installed package declares them in its metadata."""
    return {point.name: point for point in entry_points(group=group)}


def reference_to(value: Any) -> str:
    """`module:attribute` of a class or function, by which `resolve` finds it again."""
    return f"{value.__module__}:{value.__qualname__}"
