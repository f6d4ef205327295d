"""Paths as people type them."""

import os
from pathlib import Path

MARKS = ("settings.json", "sweep.json")  # one of them is in the directory of every run or sweep


def typed_path(path: str | Path) -> Path:
    """`~` is the home directory, where there is one."""
    return Path(os.path.expanduser(path))


def run_path(path: str | Path) -> Path:
    """The directory of a run or a sweep; a file in it stands for it."""
    path = typed_path(path)
    inside = path.is_file() and any((path.parent / mark).is_file() for mark in MARKS)
    return path.parent if inside else path
