"""The run directory: settings, environment, and the paths of checkpoints and metrics."""

from __future__ import annotations

import json
import math
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from ltro_jax.process.files import is_leftover, remove_leftovers, write_atomically
from ltro_jax.process.paths import run_path, typed_path
from ltro_jax.storage.errors import RunError, disk_errors
from ltro_jax.storage.lock import LOCK_FILE, lock

FORMAT_VERSION = 4  # below 4: other settings of shared parameters; 3: other value normaliser; 1: no best actors
SWEEP_FILE = "sweep.json"  # in the parent or grandparent directory of a run of a sweep
PACKAGES = ("ltro_jax", "jax", "jaxlib", "flax", "optax", "jaxmarl", "numpy")
NON_FINITE, TEXT = ("inf", "-inf", "nan"), "$text"  # in JSON: non-finite numbers are strings; equal strings are marked
EARLY_FILES = ("progress.json", "trackers")  # a run may create these before its first iteration is saved
CHECK_DISK = "check the free space and the permissions there"


@dataclass(frozen=True)
class RunDirectory:
    """A run on disk; use `create` or `open`.

    On disk:
        settings.json      the settings as given; written last, marks the directory as a run
        environment.json   format version, package versions, devices, start, command
        checkpoints/       see `checkpoints.py`
        metrics/           see `metrics.py`
        timing.json        see `timing.py`
        .lock              held by the writing process; contains its id
    """

    path: Path

    @classmethod
    def create(
        cls,
        path: str | Path,
        settings: dict[str, Any],
        command: str | None = None,
        devices: Sequence[Any] | None = None,
    ) -> RunDirectory:
        """Create the directory and its parents, and write the settings and the environment.

        Args:
            path: new or empty directory, or the directory of a run that has saved nothing, which is replaced.
            settings: strings, numbers, booleans, None, arrays, and lists and dicts of them. Tuples and arrays
                are read back as lists.
            command: the command line, for display.
            devices: the `jax.Device`s of the run; None = those of this process.
        Raises:
            RunError: the path exists, another process is creating it, or a disk error.
        """
        path = typed_path(path)
        if not str(path).isprintable():
            raise RunError(f"{str(path)!r} contains unprintable characters; choose another --out")
        problem, remedy = f"cannot create the run directory {path}", "choose another --out"
        with disk_errors(problem, remedy):
            _refuse_existing(path)
            path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        with run.lock(), disk_errors(problem, remedy):
            _refuse_existing(path)  # another process may have created it in the meantime
            remove_leftovers(path)
            for name in EARLY_FILES:
                _remove(path / name)
            run.write_json("environment.json", _environment(command, devices or jax.local_devices()))
            run.write_json("settings.json", settings)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Open an existing run.

        Raises:
            RunError: the run does not exist, was killed during its creation, is damaged, or has a newer format.
        """
        run = cls(run_path(path))
        if not run.path.is_dir():
            raise RunError(f"there is no run {path}; check the path or start one with `ltro train`")
        with disk_errors(f"cannot read {path}", CHECK_DISK):
            if any(run.path.iterdir()) and _never_begun(run.path):
                raise RunError(f"{path} was killed before it began; start it again with the same `ltro train`")
        for name in ("environment.json", "settings.json"):
            if not (run.path / name).is_file():
                raise RunError(f"{path} is not a run directory: it has no {name}; check the path")
        check_format(run.path / "environment.json", run.environment)
        _ = run.settings  # detect damage now
        return run

    @property
    def name(self) -> str:
        """The directory's name; in a sweep, with the sweep's name: `sweep/hidden_sizes=64`."""
        path = self.path.resolve()
        sweep = next((parent for parent in path.parents[:2] if (parent / SWEEP_FILE).exists()), path)
        return str(path.relative_to(sweep.parent))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as given to `create`; raises `RunError` if the file is damaged."""
        return self.read_json("settings.json")

    @property
    def environment(self) -> dict[str, Any]:
        """The environment that started the run; raises `RunError` if the file is damaged."""
        return self.read_json("environment.json")

    def changes_since_start(self) -> list[str]:
        """Sentences on changes since the start of the run that may change its results."""
        then, now = self.environment, _environment(None, jax.local_devices())
        differing = [
            f"{name} {then['packages'].get(name)} → {now['packages'][name]}"
            for name in ("jax", "jaxlib", "jaxmarl")
            if then["packages"].get(name) != now["packages"][name]
        ]
        if then["devices"] != now["devices"]:
            differing.append(f"devices {then['devices']} → {now['devices']}")
        if not differing:
            return []
        return [
            f"the environment has changed since the start of the run ({'; '.join(differing)}); "
            "results may differ in rounding"
        ]

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a dictionary written by `write_json`.

        Raises:
            RunError: the file is missing or damaged.
        """
        file = self.path / name
        try:
            return parse_json(file.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(_damaged(file, str(error))) from error

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a dictionary atomically, as `json_text`.

        Raises:
            RunError: a disk error.
            TypeError: a value has no JSON form.
        """
        data = json_text(content).encode()
        with disk_errors(f"cannot write {self.path / name}", CHECK_DISK):
            write_atomically(self.path / name, data)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run for one writing process; see `lock.lock`."""
        return lock(self.path)


def claim_directory(name: str, parent: str | Path = "runs") -> Path:
    """Create a new directory `<parent>/<name>-<time>` that no other process uses, on any host.

    If the directory exists, the name gets a suffix `-2`, `-3`, …

    Raises:
        RunError: a disk error.
    """
    first = Path(parent) / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = first, 1
    with disk_errors(f"cannot create {first}", "choose another directory"):
        first.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                path.mkdir()  # succeeds in only one process
                return path
            except FileExistsError:
                number += 1
                path = first.with_name(f"{first.name}-{number}")


@contextmanager
def output_directory(chosen: str | Path | None, name: str) -> Iterator[Path]:
    """The chosen directory, or a new one for `name`, which is removed if an error leaves it empty."""
    path = Path(chosen) if chosen else claim_directory(name)
    try:
        yield path
    except BaseException:
        if not chosen:
            with suppress(OSError):  # it is not empty
                path.rmdir()
        raise


def check_format(file: Path, content: dict[str, Any]) -> None:
    """Reject a format that this version cannot read.

    Raises:
        RunError: a newer ltro_jax wrote `content`, or the version is missing.
    """
    written = content.get("format_version")
    if not isinstance(written, int):
        raise RunError(_damaged(file, "it has no format_version"))
    if written > FORMAT_VERSION:
        raise RunError(
            f"{file.parent} was written by a newer ltro_jax (format {written}; this one reads up to {FORMAT_VERSION}): "
            "upgrade"
        )


def json_text(content: dict[str, Any]) -> str:
    """The JSON of a dictionary, for `parse_json`; NumPy and JAX values become numbers and lists.

    Non-finite numbers, which JSON lacks, are written as "inf", "-inf" and "nan"; strings of these letters are
    written as `{"$text": "inf"}`.

    Raises:
        TypeError: a value has no JSON form.
    """
    return json.dumps(_encode(content), indent=2, allow_nan=False) + "\n"


def parse_json(text: str | bytes) -> dict[str, Any]:
    """The dictionary that was passed to `json_text`.

    Raises:
        ValueError: the text is not JSON or not a dictionary.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it is not a dictionary")
    return _decode(content)


def nothing_saved(path: Path) -> bool:
    """Whether the directory contains no run, or a run that ended before its first iteration was saved."""
    known = {LOCK_FILE, "environment.json", "settings.json", *EARLY_FILES}
    return all(
        entry.name in known or is_leftover(entry) or (entry.name in ("checkpoints", "metrics") and not _visible(entry))
        for entry in path.iterdir()
    )


def _visible(directory: Path) -> list[Path]:
    """The finished entries; killed processes leave hidden ones."""
    return [entry for entry in directory.iterdir() if not entry.name.startswith(".")]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_existing(path: Path) -> None:
    if path.exists() and not (path.is_dir() and nothing_saved(path)):
        raise RunError(f"{path} already exists; resume it with `ltro resume {path}` or choose another --out")


def _never_begun(path: Path) -> bool:
    """Whether the directory is empty or contains only leftovers of a killed `create`."""
    return all(entry.name in (LOCK_FILE, "environment.json") or is_leftover(entry) for entry in path.iterdir())


def _damaged(file: Path, reason: str) -> str:
    return f"{file} is damaged ({reason}); restore it from a copy or start a new run"


def _environment(command: str | None, devices: Sequence[Any]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "devices": {"kind": devices[0].device_kind, "platform": devices[0].platform, "count": len(devices)},
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if hasattr(value, "tolist"):
        return _encode(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return {TEXT: value} if isinstance(value, str) and value in NON_FINITE else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return value[TEXT] if value.keys() == {TEXT} else {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return float(value) if isinstance(value, str) and value in NON_FINITE else value
