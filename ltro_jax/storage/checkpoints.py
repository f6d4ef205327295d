"""Checkpoints: a pytree of arrays, kept whole or not at all, restored bit for bit or refused.

On disk:
    checkpoints/000000040/manifest.json   size and SHA-256 of every other file; written last
                          leaves.json     shape and dtype of every leaf, by its path in the tree
                          state.npz       the arrays, under the same names
    checkpoints/.writing-60/              a checkpoint that was never finished
    checkpoints/.replaced-40/             the former 000000040 while a new one takes its place
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.storage.atomic import RunError, disk_errors, flush, write_atomically

MANIFEST = "manifest.json"
STATE = "state.npz"
_NAME = re.compile(r"\d{9,}|\.(writing|replaced)-\d+")


class Restored(NamedTuple):
    iteration: int
    state: Any  # The template's structure, uncommitted arrays.
    skipped: tuple[str, ...]  # One sentence for every checkpoint passed over.


def save_checkpoint(directory: Path, iteration: int, state: Any, keep: int) -> None:
    """Saves `state` as the checkpoint of `iteration`; on return it is on the disk.

    Only then the oldest are deleted, so that the newest `keep` remain, and whatever lies beyond `iteration`:
    it belongs to a course of the run that was given up. One process writes at a time (`RunDirectory.lock`).

    Args:
        directory: made where missing.
        iteration: ≥ 0; a checkpoint of the same iteration is replaced.
        state: pytree of arrays this process can address, typed keys among them.
        keep: ≥ 1.
    Raises:
        RunError: the disk refuses; the older checkpoints are as they were.
    """
    if iteration < 0 or keep < 1:
        raise ValueError(f"need iteration >= 0 and keep >= 1, got {iteration} and {keep}")
    final, writing = directory / f"{iteration:09d}", directory / f".writing-{iteration}"
    problem, remedy = f"cannot write checkpoint {final}", "older ones are intact: free some space and resume"
    with disk_errors(problem, remedy):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            shutil.rmtree(writing, ignore_errors=True)
            _write(writing, iteration, state)
            _move_into_place(writing, final)
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
    with suppress(RunError):  # The new one is safe; the next save tries again.
        truncate_checkpoints(directory, iteration, keep)


def truncate_checkpoints(directory: Path, iteration: int, keep: int | None = None) -> None:
    """Deletes all but the newest `keep` (None = every) finished checkpoints up to `iteration`.

    On resuming from `iteration` it goes together with `MetricStore.truncate`.

    Raises:
        RunError: the disk refuses.
    """
    places = _places(directory)
    eligible = [number for number in list_checkpoints(directory) if number <= iteration]
    kept = {places[number] for number in (eligible if keep is None else eligible[-keep:])}
    with disk_errors(f"cannot delete old checkpoints in {directory}", "check the permissions there"):
        for path in list(directory.glob("*")):
            if path not in kept and _NAME.fullmatch(path.name):
                shutil.rmtree(path)


def has_checkpoints(directory: Path) -> bool:
    """Whether any checkpoint, damaged ones included, is there."""
    return bool(_places(directory))


def list_checkpoints(directory: Path) -> list[int]:
    """Iterations of the finished checkpoints, ascending; whether they are undamaged shows on restoring."""
    return sorted(number for number, path in _places(directory).items() if (path / MANIFEST).is_file())


def newest_checkpoint(directory: Path) -> tuple[int, float] | None:
    """Iteration of the newest finished checkpoint and when it was saved, in seconds since the epoch; None = none."""
    for number in reversed(list_checkpoints(directory)):
        with suppress(OSError):  # replaced or deleted just now
            return number, (_places(directory)[number] / MANIFEST).stat().st_mtime
    return None


def restore_checkpoint(directory: Path, template: Any, iteration: int | None = None) -> Restored:
    """Restores the newest undamaged checkpoint, or the one of `iteration`.

    Args:
        template: pytree of arrays or `jax.ShapeDtypeStruct`, as from `jax.eval_shape`. NumPy leaves are
            restored as NumPy arrays, all others as JAX arrays on the default device.
        iteration: None = the newest; then damaged ones are passed over and named in `skipped`.
    Raises:
        RunError: no such checkpoint, none undamaged, or one that does not fit the template.
    """
    places = _places(directory)
    if iteration is not None and iteration not in places:
        available = ", ".join(map(str, list_checkpoints(directory))) or "none"
        raise RunError(f"{directory} has no checkpoint of iteration {iteration}; available: {available}")
    skipped = [f"{path.name} was never finished" for path in sorted(directory.glob(".writing-*"))]
    for number in sorted(places, reverse=True) if iteration is None else [iteration]:
        damage = _damage(places[number], number)
        if damage is None:
            return Restored(number, _read(places[number], template), tuple(skipped))
        skipped.append(f"checkpoint {number:09d} is damaged ({damage})")
    reasons = "; ".join(skipped) or "there is none"
    raise RunError(f"no usable checkpoint in {directory}: {reasons}; use a copy or start a new run")


def _places(directory: Path) -> dict[int, Path]:
    """Where each iteration's checkpoint lies; one caught in the middle of its replacement counts."""
    replaced = {int(path.name.split("-")[1]): path for path in directory.glob(".replaced-*")}
    return replaced | {int(path.name): path for path in directory.glob("[0-9]*") if _NAME.match(path.name)}


def _move_into_place(writing: Path, final: Path) -> None:
    """Renames; at every instant the old or the new checkpoint is found by `_places`."""
    if final.exists():
        replaced = final.with_name(f".replaced-{int(final.name)}")
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(final, replaced)
    os.replace(writing, final)
    flush(final.parent)


def _write(path: Path, iteration: int, state: Any) -> None:
    path.mkdir()
    leaves = _leaves(state)
    write_atomically(path / "leaves.json", _json({name: _describe(leaf) for name, leaf in leaves.items()}))
    arrays = {name: np.asarray(_unwrapped(leaf)) for name, leaf in leaves.items()}
    np.savez(path / STATE, **arrays)  # type: ignore[arg-type]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for entry in (*path.rglob("*"), path):
        flush(entry)
    digests = {str(file.relative_to(path)): _digest(file) for file in files}
    write_atomically(path / MANIFEST, _json({"iteration": iteration, "files": digests}))


def _read(path: Path, template: Any) -> Any:
    """The state in the template's structure; `RunError` names the first leaf that differs."""
    stored, wanted = json.loads((path / "leaves.json").read_bytes()), _leaves(template)
    for name in sorted(stored.keys() | wanted.keys()):
        there = _signature(stored[name]) if name in stored else "absent"
        here = _signature(_describe(wanted[name])) if name in wanted else "absent"
        if there != here:
            raise RunError(
                f"checkpoint {path} does not fit this program: {name} is {there} there and {here} here; "
                "use the settings and the version of ltro_jax the run was started with"
            )
    with disk_errors(f"cannot read checkpoint {path}", "use an older one or a copy", also=(ValueError, KeyError)):
        with np.load(path / STATE) as arrays:
            leaves = [_wrapped(arrays[name], stored[name], like) for name, like in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path, such as "agents.params.Dense_0.kernel", in the tree's order."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "state"
        if name in leaves:
            raise TypeError(f"two leaves of the tree are called {name}; rename a key")
        leaves[name] = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
    return leaves


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _unwrapped(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _wrapped(array: np.ndarray, stored: dict[str, Any], like: Any) -> Any:
    """One leaf as the template wants it: NumPy array, JAX array or typed key."""
    if array.dtype.kind == "V":  # NumPy has no bfloat16 of its own
        array = array.view(jnp.dtype(stored["dtype"]))
    if isinstance(like, (np.ndarray, np.generic)):
        return array
    # A copy: a JAX array that shares memory with NumPy must not be donated.
    copy = jnp.array(array)
    return jax.random.wrap_key_data(copy, impl=stored["key"]) if _is_key(like) else copy


def _describe(leaf: Any) -> dict[str, Any]:
    """Shape, dtype and, for a typed key that is here as an array, the name of its generator."""
    key = str(jax.random.key_impl(leaf)) if _is_key(leaf) and isinstance(leaf, jax.Array) else None
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "key": key}


def _signature(description: dict[str, Any]) -> str:
    return f"{description['dtype']}{description['shape']}"


def _damage(path: Path, iteration: int) -> str | None:
    """Why the checkpoint cannot be trusted, or None."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        if manifest["iteration"] != iteration:
            return f"{MANIFEST}: written for iteration {manifest['iteration']}"
        for name, digest in manifest["files"].items():
            file = path / name
            if not file.is_file():
                return f"{name}: missing"
            if _digest(file) != digest:
                return f"{name}: checksum differs"
    except FileNotFoundError:
        return f"{MANIFEST}: missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST}: unreadable, {error}"
    return None


def _digest(file: Path) -> dict[str, Any]:
    with open(file, "rb") as stream:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
