"""Metrics: labelled datasets in segments, one file per range of iterations.

On disk:
    metrics/000000001-000000020.nc   NetCDF 3 with a SHA-256 checksum in an attribute
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5netcdf
import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from ltro_jax.process.files import remove_leftovers, replacing, write_atomically
from ltro_jax.storage.errors import RunError, disk_errors, one_line

DIMENSIONS = ("member", "iteration", "agent", "position")
SEGMENT_BYTES = 2**26  # maximum size of a segment, unless one iteration is larger
CHUNK_BYTES = 2**20  # of a variable in an HDF5 chunk; the size of HDF5's chunk cache
CHECK_DISK = "check the free space and the permissions there"
_REMEDY = "restore it from a copy, or resume from a checkpoint before it"
_DTYPE, _SEAL = "original_dtype", "sha256"  # attributes of a variable and of a segment
_OPEN = "0" * 64  # placeholder for the seal while it is computed


class Segment(NamedTuple):
    first: int
    last: int
    path: Path


@dataclass(frozen=True)
class MetricStore:
    """Rows of metrics by iteration, without gaps or overlaps.

    Datasets have dimensions among `DIMENSIONS`, the coordinate `iteration` (from 1, consecutive), and usually
    `env_steps` along iteration, `seed` along member and names along agent. Variables are bool, integer, float32,
    float64 or text; each keeps its dtype, and text is read as objects.
    """

    path: Path

    def append(self, dataset: xr.Dataset) -> None:
        """Add the iterations after the stored ones, in segments of at most `SEGMENT_BYTES`.

        Raises:
            RunError: the iterations overlap the stored ones or leave a gap, or a disk error.
            ValueError: an unknown dimension, no consecutive `iteration`, or an integer beyond 2⁵³.
        """
        if not set(dataset.dims) <= set(DIMENSIONS) or "iteration" not in dataset.indexes:
            raise ValueError(f"need `iteration` and dimensions among {DIMENSIONS}, got {tuple(dataset.dims)}")
        iterations = dataset["iteration"].values
        if not iterations.size or not np.array_equal(iterations, iterations[0] + np.arange(iterations.size)):
            raise ValueError(f"`iteration` must be consecutive, got {iterations}")
        first, last, stored = int(iterations[0]), int(iterations[-1]), self.last_iteration()
        if first != stored + 1:
            raise RunError(
                f"{self.path} holds the iterations up to {stored}, so {first} to {last} cannot be added; "
                "resume the run from its newest checkpoint"
            )
        count = max(1, SEGMENT_BYTES * iterations.size // max(1, dataset.nbytes))
        for start in range(0, iterations.size, count):
            self._write(first + start, dataset.isel(iteration=slice(start, start + count)))

    def truncate(self, iteration: int) -> None:
        """Delete all rows beyond `iteration` and unfinished files, before a resume from that checkpoint.

        Raises:
            RunError: a disk error, or a segment to be shortened is damaged.
        """
        with disk_errors(f"cannot delete leftovers in {self.path}", CHECK_DISK):
            remove_leftovers(self.path)
        for segment in reversed(self._segments()):
            if segment.last > iteration:
                if segment.first <= iteration:
                    self._write(segment.first, _read(segment).sel(iteration=slice(None, iteration)))
                with disk_errors(f"cannot delete {segment.path}", CHECK_DISK):
                    segment.path.unlink()

    def last_iteration(self) -> int:
        """The newest stored iteration; 0 if there is none."""
        return max((segment.last for segment in self._segments()), default=0)

    def load(self, after: int = 0, only: Collection[str] | None = None) -> xr.Dataset:
        """The rows of iterations beyond `after`, joined along iteration; older segments are not read.

        Args:
            only: variables to load in addition to the coordinates; None = all.
        Raises:
            RunError: there are no such rows, or a segment is damaged, missing or inconsistent with the others.
        """
        parts = list(self.stream(after, only))
        options: dict[str, Any] = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}
        with disk_errors(f"cannot join the metrics in {self.path}", _REMEDY, also=(ValueError,)):
            return xr.concat(parts, "iteration", join="exact", combine_attrs="override", **options)

    def stream(self, after: int = 0, only: Collection[str] | None = None) -> Iterator[xr.Dataset]:
        """Yield the rows of `load` one segment at a time. Raises as `load`."""
        segments = [segment for segment in self._segments() if segment.last > after]
        if not segments:
            raise RunError(f"{self.path} holds no metrics{f' beyond {after}' if after else ''}; train the run first")
        names, last = None, min(after, segments[0].first - 1)
        for segment in segments:
            if segment.first != last + 1:
                raise RunError(f"{segment.path} does not continue at iteration {last + 1}; {_REMEDY}")
            part = _read(segment, only)
            names = names or part.variables.keys()
            if part.variables.keys() != names:
                raise RunError(f"{segment.path} holds other metrics than {segments[0].path.name}; {_REMEDY}")
            last = segment.last
            yield part.sel(iteration=slice(after + 1, None)) if segment.first <= after else part

    def consolidate(self, target: Path, only: Collection[str] | None = None) -> None:
        """Write all rows to one NetCDF 4 file for `xarray.open_dataset(target)`, one segment at a time.

        Args:
            only: as in `load`.
        Raises:
            RunError: as `load`, or a disk error.
        """
        # HDF5 reports a full disk with several error types.
        with disk_errors(f"cannot write {target}", CHECK_DISK, also=(RuntimeError, ValueError, TypeError, KeyError)):
            remove_leftovers(target.parent, target.name)
            with replacing(target) as temporary:
                parts, total = self.stream(0, only), self.last_iteration()
                first = next(parts)
                with _Guarded(temporary) as disk:
                    with h5netcdf.File(disk, "w") as file:
                        _begin(first, file, total)
                        file.resize_dimension("iteration", total)
                        for part in parts:
                            disk.check()
                            _add(part, file)
                    disk.check()

    def _segments(self) -> list[Segment]:
        matches = (re.fullmatch(r"(\d{9,})-(\d{9,})\.nc", path.name) for path in self.path.glob("*.nc"))
        return sorted(Segment(int(name[1]), int(name[2]), self.path / name[0]) for name in matches if name)

    def _write(self, first: int, dataset: xr.Dataset) -> None:
        path = self.path / f"{first:09d}-{first + dataset.sizes['iteration'] - 1:09d}.nc"
        data = _encode(dataset.assign_attrs({_SEAL: _OPEN}))
        with disk_errors(f"cannot write {path}", CHECK_DISK):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _seal(data))


def _seal(data: bytes) -> bytes:
    """Replace the placeholder `_OPEN` of a file by the digest of the file."""
    return data.replace(_OPEN.encode(), hashlib.sha256(data).hexdigest().encode(), 1)


def _read(segment: Segment, only: Collection[str] | None = None) -> xr.Dataset:
    """One segment with its dtypes restored; `RunError` if it is damaged."""
    try:
        data = segment.path.read_bytes()
        # Units such as "seconds" are labels; xarray would decode the numbers as dates.
        with xr.open_dataset(io.BytesIO(data), engine="scipy", decode_times=False) as opened:
            unwanted = [name for name in opened.data_vars if only is not None and name not in only]
            dataset = opened.drop_vars(unwanted).load()
        seal = dataset.attrs.pop(_SEAL)
        if _seal(data.replace(seal.encode(), _OPEN.encode(), 1)) != data:
            raise ValueError("checksum differs")
    except Exception as error:  # The parser may raise anything on a damaged header.
        raise RunError(f"{segment.path} is damaged ({one_line(error)}); {_REMEDY}") from error
    for name, variable in dataset.variables.items():
        if _DTYPE in variable.attrs:
            dataset[name] = dataset[name].astype(variable.attrs[_DTYPE], keep_attrs=True)
            del dataset[name].attrs[_DTYPE]
    return dataset.drop_encoding()


def _encode(dataset: xr.Dataset) -> bytes:
    """The dataset as a NetCDF 3 file; integers without a NetCDF 3 type record their dtype in an attribute."""
    dataset, encoding = dataset.drop_encoding().copy(), {}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "iuf":
            encoding[name] = {"_FillValue": None}
        if variable.dtype.kind in "iu" and variable.dtype not in (np.int8, np.int16, np.int32):
            encoding[name]["dtype"] = _exact_dtype(variable.values, name)
            dataset[name].attrs[_DTYPE] = str(variable.dtype)
    return bytes(dataset.to_netcdf(engine="scipy", encoding=encoding))


def _exact_dtype(values: np.ndarray, name: object) -> str:
    largest = max(-int(values.min(initial=0)), int(values.max(initial=0)))
    if largest > 2**53:
        raise ValueError(f"metric {name} holds {largest}, beyond what NetCDF 3 stores exactly")
    return "int32" if largest < 2**31 else "float64"


class _Guarded(io.FileIO):
    """A new file that hides write errors from HDF5, which would crash the process, and records them."""

    def __init__(self, path: Path):
        super().__init__(path, "x+")
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            written = 0 if self.failure else super().write(data)
            while not self.failure and written < size:
                written += super().write(memoryview(data).cast("B")[written:])
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the `OSError` of the first failed write."""
        if self.failure:
            raise self.failure


def _begin(dataset: xr.Dataset, file: Any, total: int) -> None:
    """Write the first of `total` rows to a new file whose chunks suit all rows along the unlimited `iteration`."""
    encoding: dict[Any, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        encoding[name] = {"_FillValue": None} if variable.dtype.kind in "iuf" else {}
        if "iteration" in variable.dims:
            encoding[name]["chunksizes"] = _chunks(variable, total)
    dataset.dump_to_store(H5NetCDFStore(file), encoding=encoding, unlimited_dims=["iteration"])


def _chunks(variable: xr.Variable, total: int) -> tuple[int, ...]:
    """Chunk sizes up to `CHUNK_BYTES`: several iterations with all members and agents, or part of a large row."""
    others = {dim: size for dim, size in variable.sizes.items() if dim not in ("member", "iteration")}
    room = CHUNK_BYTES // (variable.dtype.itemsize * math.prod(others.values()))
    members = max(1, min(variable.sizes.get("member", 1), room))
    sizes = {"member": members, "iteration": max(1, min(total, room // members)), **others}
    return tuple(sizes[str(dim)] for dim in variable.dims)


def _add(dataset: xr.Dataset, file: Any) -> None:
    """Write the rows of a segment to their position in a file of `_begin`."""
    rows = slice(int(dataset["iteration"][0]) - 1, int(dataset["iteration"][-1]))
    for name, variable in dataset.variables.items():
        if "iteration" in variable.dims:
            place = tuple(rows if dim == "iteration" else slice(None) for dim in variable.dims)
            file.variables[name][place] = variable.values.astype(file.variables[name].dtype, copy=False)
