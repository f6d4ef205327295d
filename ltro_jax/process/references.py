"""Objects that a user names: `module:attribute`, or the name of an entry point.

A run directory names the objects that it was trained with, and may come from a stranger. A reference imports a module
only if somebody else has named it: the user (`allow_imports`, the variable LTRO_ALLOW_IMPORTS), the program that has
imported it already, or an installed package (its entry points).
"""

import importlib
import os
import sys
import traceback
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

VARIABLE = "LTRO_ALLOW_IMPORTS"
ALGORITHMS = "ltro_jax.algorithms"  # the group of entry points in which an installed package names its rules
_allowed: set[str] = set()
_folders: list[str] = []  # where allowed modules may lie besides sys.path
_given: dict[str, Any] = {}  # reference → an object that cannot be imported by it


class ReferenceProblem(Exception):
    """A reference leads nowhere; the message is the end of a sentence that begins with the setting."""


def is_reference(text: str) -> bool:
    """Whether `text` is `module:attribute`."""
    return ":" in text


def is_outside(algorithm: str) -> bool:
    """Whether an algorithm is a reference or the name of an installed package's entry point; imports nothing."""
    return is_reference(algorithm) or algorithm in registered(ALGORITHMS)


def module_of(reference: str) -> str:
    """The module of `module:attribute`."""
    return reference.partition(":")[0].strip()


def allow_imports(*modules: str, folder: str | None = None) -> None:
    """Let references of this process import `modules` (a package allows its submodules).

    Args:
        folder: searched before `sys.path`, from the first such import on.
    """
    _allowed.update(filter(None, modules))
    if folder and folder not in _folders:
        _folders.append(folder)


def reference_to(value: Any) -> str:
    """`module:attribute` of a class or function, by which `resolve` finds it again."""
    return f"{value.__module__}:{value.__qualname__}"


def give(value: Any, reference: str | None = None) -> str:
    """Let `resolve` find `value` in this process.

    Args:
        reference: by which it is looked for; None = the one of the value.
    Returns:
        The reference.
    """
    reference = reference or reference_to(value)
    _given.pop(reference, None)
    try:
        importable = resolve(reference) is value
    except ReferenceProblem:
        importable = False
    if not importable:  # otherwise a later definition of the same name, as in a notebook, counts
        _given[reference] = value
    return reference


def resolve(reference: str) -> Any:
    """The object that `module:attribute` names.

    Raises:
        ReferenceProblem: the module is not allowed, not there or fails, or it has no such attribute.
    """
    if reference in _given:
        return _given[reference]
    name, _, attribute = reference.partition(":")
    if not attribute or not all(part.isidentifier() for part in name.split(".")):
        raise ReferenceProblem("is no reference; write module:attribute")
    if name == "__main__" or "<locals>" in attribute:
        problem = (
            "was defined in a notebook, a script or a function, where this process cannot find it; move it to a "
            "module, or pass the class as rule= in Python"
        )
    else:
        problem = f"names nothing: the module {name} has no attribute {attribute}"
    value: Any = _module(name)
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise ReferenceProblem(problem) from None
    return value


def _module(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    allowed = _allowed | {part.strip() for part in os.environ.get(VARIABLE, "").split(",")}
    named = any(name == other or name.startswith(f"{other}.") for other in allowed if other)
    if not named or name.endswith(".__main__"):
        raise ReferenceProblem(
            f"needs the module {name}, which is imported only with your permission: "
            f"add --allow-import {name}, or set {VARIABLE}={name} (in Python, import {name} first)"
        )
    sys.path[:0] = [folder for folder in _folders if folder not in sys.path]
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise ReferenceProblem(
                f"needs the module {name}, which is not there; install it or add its folder to PYTHONPATH"
            ) from None
        raise ReferenceProblem(f"needs the module {name}, whose import fails: {where_it_failed(error)}") from error


def where_it_failed(error: BaseException) -> str:
    """The error and the line of the imported module that raised it, in the words of a traceback."""
    words = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return f'{type(error).__name__}: {error.msg} (File "{error.filename}", line {error.lineno})'
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _of_the_import(frame.filename)]
    if not frames:
        return words
    return f'{words} (File "{frames[-1].filename}", line {frames[-1].lineno}: {frames[-1].line})'


def _of_the_import(file: str) -> bool:
    return file == __file__ or file == importlib.__file__ or file.startswith("<frozen importlib")


@cache
def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; an installed package declares them in its metadata."""
    return {point.name: point for point in entry_points(group=group)}


def load_registered(point: EntryPoint) -> Any:
    """The object of an entry point.

    Raises:
        ReferenceProblem: its package fails; the message names it.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ReferenceProblem(
            f"comes from the package {package_of(point)}, whose entry point {point.value} fails: "
            f"{where_it_failed(error)}; repair or uninstall the package"
        ) from error


def package_of(point: EntryPoint) -> str:
    """The name of the package that declares an entry point."""
    return point.dist.name if point.dist else module_of(point.value)
