"""Paths as users type them."""

import os
from pathlib import Path

MARKS = ("settings.json", "sweep.json")  # every run or sweep directory contains one of these


def typed_path(path: str | Path) -> Path:
    """The path with `~` expanded to the home directory, if there is one."""
    return Path(os.path.expanduser(path))


def run_path(path: str | Path) -> Path:
    """The directory of a run or a sweep; a path to a file in the directory is accepted too."""
    path = typed_path(path)
    inside = path.is_file() and any((path.parent / mark).is_file() for mark in MARKS)
    return path.parent if inside else path
