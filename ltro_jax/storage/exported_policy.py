"""Exported policies: tensors and a card that describes them.

On disk:
    policy.safetensors   the tensors, readable in many languages
    policy.json          the card, with the SHA-256 of the tensors; written last
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltro_jax.process.files import is_leftover, remove_leftovers, write_atomically
from ltro_jax.storage.errors import RunError, disk_errors, one_line
from ltro_jax.storage.run_directory import json_text, parse_json

CARD, TENSORS = "policy.json", "policy.safetensors"
FORMAT, FORMAT_VERSION = "ltro_jax policy", 1


def is_exported(path: str | Path) -> bool:
    """Whether `path` holds an exported policy."""
    return (Path(path) / CARD).is_file()


def write_exported(path: str | Path, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
    """Create the directory and write both files, the card last.

    Args:
        path: new or empty directory, or the directory of a killed export.
        tensors: by name, C-contiguous.
        card: content of the card; format, version and digest are added.
    Raises:
        RunError: the extra `export` is not installed, the directory has other content, or a disk error.
    """
    path, safetensors = Path(path), _safetensors()
    data = safetensors.save(dict(tensors))
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": hashlib.sha256(data).hexdigest()}
    text = json_text(head | dict(card))
    with disk_errors(f"cannot write {path}", "choose another directory with -o"):
        if path.exists() and not (path.is_dir() and all(e.name == TENSORS or is_leftover(e) for e in path.iterdir())):
            raise RunError(f"{path} already exists and is not empty; choose another directory with -o")
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        write_atomically(path / TENSORS, data)
        write_atomically(path / CARD, text.encode())


def read_exported(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The card and the tensors.

    Raises:
        RunError: the policy is damaged or has a newer format, or the extra `export` is not installed.
    """
    path, safetensors = Path(path), _safetensors()
    remedy = "export the policy again"
    with disk_errors(f"{path / CARD} is damaged", remedy, also=(ValueError, RecursionError)):
        card = parse_json((path / CARD).read_bytes())
    if card.get("format") != FORMAT:
        raise RunError(f"{path / CARD} is not the card of an ltro_jax policy; check the path")
    for name, kind in (("format_version", int), ("sha256", str), ("settings", dict)):
        if not isinstance(card.get(name), kind):
            raise RunError(f"{path / CARD} is damaged: it has no {name}; {remedy}")
    version = card["format_version"]
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path} was written by a newer ltro_jax (format {version}; this one reads up to {FORMAT_VERSION}): upgrade"
        )
    with disk_errors(f"cannot read {path / TENSORS}", remedy):
        data = (path / TENSORS).read_bytes()
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise RunError(f"{path / TENSORS} is damaged (checksum differs); {remedy}")
    try:
        return card, safetensors.load(data)
    except Exception as error:  # the parser may raise anything on foreign content
        raise RunError(f"{path / TENSORS} is damaged ({one_line(error)}); {remedy}") from error


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError as error:
        raise RunError(
            "exported policies need the extra 'export', which is not installed; "
            "run pip install -c constraints.txt -e '.[export]'"
        ) from error
