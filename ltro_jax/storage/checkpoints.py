"""Checkpoints: pytrees of arrays, saved atomically and restored bit for bit.

On disk:
    checkpoints/000000040/manifest.json   size and SHA-256 of every other file; written last
                          leaves.json     shape and dtype of every leaf, by its path in the tree
                          state.npz       the arrays, under the same names
    checkpoints/.writing-60/              an unfinished checkpoint
    checkpoints/.replaced-40/             the previous 000000040 during its replacement
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.process.files import flush, write_atomically
from ltro_jax.storage.errors import RunError, disk_errors, one_line

MANIFEST = "manifest.json"
STATE = "state.npz"
_OURS = r"\d{9,}|\.(writing|replaced)-\d+"


class Restored(NamedTuple):
    iteration: int
    state: Any  # structure of the template; NumPy arrays, except typed keys, which are JAX arrays
    damaged: dict[int, str]  # newer checkpoints that are damaged, newest first, with the reasons
    unfinished: tuple[str, ...]  # names of checkpoints that a process is writing or was killed while writing

    def damage(self, directory: Path) -> list[str]:
        """One sentence per damaged checkpoint, which names the checkpoint and its replacement."""
        return [
            f"checkpoint {number:09d} of {directory} is damaged ({reason}); checkpoint {self.iteration:09d} is used"
            for number, reason in self.damaged.items()
        ]


class Damage(Exception):
    """The content of a checkpoint differs from what was written."""


def save_checkpoint(directory: Path, iteration: int, state: Any, keep: int, damaged: Collection[int] = ()) -> None:
    """Save `state` as the checkpoint of `iteration`; on return it is on the disk.

    Afterwards, delete all but the newest `keep` checkpoints, and those beyond `iteration`, which the run has
    abandoned. Only one process may write at a time (`RunDirectory.lock`).

    Args:
        directory: created if missing.
        iteration: ≥ 0; a checkpoint of the same iteration is replaced.
        state: pytree of arrays that this process can address; typed keys are allowed.
        keep: ≥ 1.
        damaged: iterations of damaged checkpoints, which are deleted too.
    Raises:
        RunError: a disk error; older checkpoints are unchanged.
    """
    if iteration < 0 or keep < 1:
        raise ValueError(f"need iteration >= 0 and keep >= 1, got {iteration} and {keep}")
    final, writing = directory / f"{iteration:09d}", directory / f".writing-{iteration}"
    problem, remedy = f"cannot write checkpoint {final}", "older ones are intact; free some space and resume"
    with disk_errors(problem, remedy):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            shutil.rmtree(writing, ignore_errors=True)
            _write(writing, iteration, state)
            _move_into_place(writing, final)
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
    with suppress(RunError):  # The new checkpoint is safe; the next save retries.
        truncate_checkpoints(directory, iteration, keep, set(damaged) - {iteration})


def truncate_checkpoints(
    directory: Path, iteration: int, keep: int | None = None, damaged: Collection[int] = ()
) -> None:
    """Delete all but the newest `keep` (None = all) finished checkpoints up to `iteration`, and all in `damaged`.

    A resume from `iteration` also calls `MetricStore.truncate`.

    Raises:
        RunError: a disk error.
    """
    with disk_errors(f"cannot delete old checkpoints in {directory}", "check the permissions there"):
        places = _places(directory)
        usable = [n for n in list_checkpoints(directory) if n <= iteration and n not in damaged]
        kept = {places[number] for number in (usable if keep is None else usable[-keep:])}
        for name in _names(directory, _OURS):
            if directory / name not in kept:
                shutil.rmtree(directory / name)


def has_checkpoints(directory: Path) -> bool:
    """Whether there is any checkpoint, damaged or not; raises `RunError` if the disk cannot be read."""
    with _reading(directory):
        return bool(_places(directory))


def list_checkpoints(directory: Path) -> list[int]:
    """Iterations of the finished checkpoints, ascending; damage is detected only by restoring.

    Raises:
        RunError: the disk cannot be read.
    """
    with _reading(directory):
        return sorted(number for number, path in _places(directory).items() if (path / MANIFEST).is_file())


def newest_checkpoint(directory: Path) -> tuple[int, float] | None:
    """Iteration and time (seconds since the epoch) of the newest finished checkpoint; None if there is none."""
    for number in reversed(list_checkpoints(directory)):
        with suppress(OSError):  # replaced or deleted in the meantime
            return number, (_places(directory)[number] / MANIFEST).stat().st_mtime
    return None


def restore_checkpoint(
    directory: Path,
    template: Any,
    iteration: int | None = None,
    *,
    whole: bool = True,
    row: int | None = None,
    last_metrics: int | None = None,
) -> Restored:
    """Restore the newest undamaged checkpoint, or the checkpoint of `iteration`, into host memory.

    Args:
        template: pytree of arrays or `jax.ShapeDtypeStruct`, as from `jax.eval_shape`.
        iteration: None = the newest undamaged one; damaged ones are listed in `damaged`.
        whole: False = read only the leaves of the template, by their paths.
        row: None = whole leaves; else only this index of the first axis.
        last_metrics: last iteration with metrics; a newer checkpoint lacks its metrics and counts as damaged.
    Raises:
        RunError: there is no such or no undamaged checkpoint, it does not fit the template, or the disk cannot be read.
            A disk error does not count as damage and never selects an older checkpoint.
    """
    with _reading(directory):
        places = _places(directory)
        if iteration is not None and iteration not in places:
            available = ", ".join(map(str, list_checkpoints(directory))) or "none"
            raise RunError(f"{directory} has no checkpoint of iteration {iteration}; available: {available}")
        unfinished = tuple(sorted(_names(directory, r"\.writing-\d+")))
        damaged: dict[int, str] = {}
        for number in sorted(places, reverse=True) if iteration is None else [iteration]:
            try:
                if last_metrics is not None and number > last_metrics:
                    raise Damage(f"the metrics end at iteration {last_metrics}")
                _check(places[number], number)
                return Restored(number, _read(places[number], template, whole, row), damaged, unfinished)
            except Damage as damage:
                if iteration is None and _places(directory) != places:  # deleted by the training process
                    return restore_checkpoint(directory, template, whole=whole, row=row, last_metrics=last_metrics)
                damaged[number] = str(damage)
    reasons = [f"{name} is unfinished" for name in unfinished]
    reasons += [f"checkpoint {number:09d} is damaged ({reason})" for number, reason in damaged.items()]
    raise RunError(
        f"no usable checkpoint in {directory}: {'; '.join(reasons) or 'there is none'}; "
        "restore a copy or start a new run"
    )


def _reading(directory: Path) -> AbstractContextManager[None]:
    return disk_errors(
        f"cannot read the checkpoints in {directory}", "nothing is changed; check the disk and try again"
    )


def _names(directory: Path, pattern: str) -> list[str]:
    """Entries of the directory whose full name matches; none if it is missing. Raises `OSError`."""
    try:
        return [name for name in os.listdir(directory) if re.fullmatch(pattern, name)]
    except FileNotFoundError:
        return []


def _places(directory: Path) -> dict[int, Path]:
    """The path of each iteration's checkpoint, including one whose replacement is unfinished."""
    replaced = {int(name.split("-")[1]): directory / name for name in _names(directory, r"\.replaced-\d+")}
    return replaced | {int(name): directory / name for name in _names(directory, r"\d{9,}")}


def _move_into_place(writing: Path, final: Path) -> None:
    """Rename; at every moment `_places` returns the old or the new checkpoint."""
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


def _read(path: Path, template: Any, whole: bool, row: int | None) -> Any:
    """The state in the template's structure. Raises `RunError`, which names the first leaf that differs."""
    wanted = _leaves(template)
    try:
        stored = json.loads((path / "leaves.json").read_bytes())
        for name in sorted(stored.keys() | wanted.keys() if whole else wanted):
            there = _signature(stored[name]) if name in stored else "absent"
            here = _signature(_describe(wanted[name])) if name in wanted else "absent"
            if there != here:
                raise RunError(
                    f"checkpoint {path} does not fit this program: {name} is {there} there and {here} here; "
                    "use the settings and the version of ltro_jax that started the run"
                )
        with np.load(path / STATE) as arrays:
            leaves = [_wrapped(arrays[name], stored[name], row) for name in wanted]
    except FileNotFoundError as error:
        raise Damage(f"{Path(error.filename or STATE).name}: missing") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:  # the checksums match, but another program wrote it
        raise Damage(f"unreadable, {one_line(error)}") from error
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


def _wrapped(array: np.ndarray, stored: dict[str, Any], row: int | None) -> Any:
    """A leaf as a NumPy array or, for a typed key, a JAX array; a row is a copy, so that the array can be freed."""
    if array.dtype.kind == "V":  # NumPy lacks bfloat16
        array = array.view(jnp.dtype(stored["dtype"]))
    array = array if row is None else np.array(array[row])
    return jax.random.wrap_key_data(jnp.asarray(array), impl=stored["key"]) if stored["key"] else array


def _describe(leaf: Any) -> dict[str, Any]:
    """Shape, dtype and, for a typed key array, the name of its generator."""
    key = str(jax.random.key_impl(leaf)) if _is_key(leaf) and isinstance(leaf, jax.Array) else None
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "key": key}


def _signature(description: dict[str, Any]) -> str:
    return f"{description['dtype']}{description['shape']}"


def _check(path: Path, iteration: int) -> None:
    """Raise `Damage` if the content differs from what was written, `OSError` if the disk cannot be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        number, digests = manifest["iteration"], manifest["files"].items()
    except FileNotFoundError:
        raise Damage(f"{MANIFEST}: missing") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damage(f"{MANIFEST}: unreadable, {one_line(error)}") from error
    if number != iteration:
        raise Damage(f"{MANIFEST}: written for iteration {number}")
    for name, digest in digests:
        try:
            actual = _digest(path / name)
        except FileNotFoundError:
            raise Damage(f"{name}: missing") from None
        if actual != digest:
            raise Damage(f"{name}: checksum differs")


def _digest(file: Path) -> dict[str, Any]:
    with open(file, "rb") as stream:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
