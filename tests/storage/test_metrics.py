"""The metric store: rows come back as they went in, in order, once, or with a sentence why not."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from ltro_jax.storage import MetricStore, RunError, metrics


def rows(first: int, last: int) -> xr.Dataset:
    """Metrics of 2 members and 3 agents; a row depends on its iteration alone."""
    iteration = np.arange(first, last + 1)
    shape = (2, iteration.size, 3)
    values = np.broadcast_to(iteration[:, None] / 3, shape)
    return xr.Dataset(
        {
            "ratio": (("member", "iteration", "agent"), values.astype(np.float32), {"units": "seconds"}),
            "exact": (("iteration",), iteration / 7),
            "finite": (("member", "iteration"), np.broadcast_to(iteration % 2 == 0, shape[:2])),
            "steps": (("iteration",), iteration * 2**40),
            "order": (("iteration", "position"), np.broadcast_to(np.array([2, 0, 1], np.int32), shape[1:])),
            "count": (("iteration",), iteration.astype(np.uint32)),
            "nothing": (("iteration",), np.full(iteration.size, np.nan, np.float32)),
        },
        coords={
            "iteration": iteration,
            "env_steps": ("iteration", iteration * 800),
            "seed": ("member", np.array([0, 2**33])),
            "agent": ["agent_0", "agent_1", "évadé"],
        },
    )


def assert_same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one, other)
    for name in other.variables:
        if other[name].dtype.kind != "U":
            assert one[name].dtype == other[name].dtype, name


@pytest.fixture
def store(tmp_path):
    store = MetricStore(tmp_path / "metrics")
    store.append(rows(1, 4))
    store.append(rows(5, 5))
    store.append(rows(6, 10))
    return store


def test_round_trip(store):
    assert store.last_iteration() == 10
    assert_same(store.load(), rows(1, 10))
    assert len(list(store.path.iterdir())) == 3


def test_overlap_and_gap_are_refused(store, tmp_path):
    for first, last in ((10, 12), (12, 14), (1, 4)):
        with pytest.raises(RunError, match=f"up to 10, so {first} to {last} cannot be added"):
            store.append(rows(first, last))
    with pytest.raises(RunError, match="up to 0"):
        MetricStore(tmp_path / "new").append(rows(2, 3))


def test_datasets_of_another_kind_are_refused(store):
    for dataset in (
        rows(11, 12).rename(position="place"),
        rows(11, 12).drop_vars("iteration"),
        rows(11, 13).isel(iteration=[0, 2]),
        rows(11, 13).isel(iteration=[]),
        rows(11, 11).assign(huge=("iteration", [2**60])),
    ):
        with pytest.raises(ValueError):
            store.append(dataset)
    assert store.last_iteration() == 10


@pytest.mark.parametrize("iteration", [10, 8, 5, 4, 2, 0])
def test_truncate_then_continue(store, iteration):
    store.truncate(iteration)
    assert store.last_iteration() == iteration
    store.append(rows(iteration + 1, 12))
    assert_same(store.load(), rows(1, 12))


def test_truncate_cut_short_is_finished_by_the_next(store, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(os, "unlink", refuse)
        with pytest.raises(RunError, match=r"cannot delete .*000000006-000000010\.nc"):
            store.truncate(8)
    with pytest.raises(RunError, match="does not continue at iteration 9"):
        store.load()
    store.truncate(8)
    assert_same(store.load(), rows(1, 8))


def test_leftovers_are_ignored_and_an_empty_store_says_so(store, tmp_path):
    (store.path / ".000000011-000000012.nc.1.tmp").write_bytes(b"half")
    assert_same(store.load(), rows(1, 10))
    with pytest.raises(RunError, match="holds no metrics"):
        MetricStore(tmp_path / "new").load()
    (tmp_path / ".metrics.nc.1.tmp").write_bytes(b"half")
    (tmp_path / ".evaluation.json.1.tmp").write_bytes(b"of another process")
    store.truncate(10)
    store.consolidate(tmp_path / "metrics.nc")
    assert not list(store.path.glob(".*")) and [path.name for path in tmp_path.glob(".*")] == [".evaluation.json.1.tmp"]


def test_damage_is_named(store):
    file = store.path / "000000005-000000005.nc"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-2] ^= 1
    for damaged in (b"", whole[:40], whole[:-8], bytes(flipped), whole + b"\0"):
        file.write_bytes(damaged)
        with pytest.raises(RunError, match=r"000000005-000000005\.nc is damaged"):
            store.load()
    file.unlink()
    with pytest.raises(RunError, match=r"000000006-000000010\.nc does not continue at iteration 5"):
        store.load()


def test_segments_of_other_metrics_are_named(store):
    store.append(rows(11, 12).drop_vars("exact"))
    with pytest.raises(RunError, match=r"000000011-000000012\.nc holds other metrics than 000000001"):
        store.load()
    store.truncate(10)
    store.append(rows(11, 12).isel(agent=[0, 1]))
    with pytest.raises(RunError, match="cannot join the metrics"):
        store.load()


def test_consolidate_opens_in_one_line(store, tmp_path):
    """By xarray without an engine, with every dtype as it was, and by plain HDF5."""
    target = tmp_path / "metrics.nc"
    store.consolidate(target)
    with xr.open_dataset(target) as opened:
        assert_same(opened.load(), rows(1, 10))
        assert opened.sel(agent="évadé", iteration=3)["env_steps"] == 2400
    with h5py.File(target) as file:
        assert file["steps"].dtype == np.int64 and file["ratio"].shape == (2, 10, 3)  # type: ignore[union-attr]
        np.testing.assert_array_equal(file["ratio"][()], rows(1, 10)["ratio"])  # type: ignore[index]
    store.consolidate(target, only=("exact",))
    with xr.open_dataset(target) as opened:
        assert_same(opened.load(), rows(1, 10)[["exact"]].assign_coords(rows(1, 10).coords))


def test_some_of_the_metrics(store):
    some = store.load(after=4, only=("finite", "none"))
    assert_same(some, rows(5, 10)[["finite"]].assign_coords(rows(5, 10).coords))
    assert [part.sizes["iteration"] for part in store.stream(after=4)] == [1, 5]
    assert [part["iteration"].values.tolist() for part in store.stream(after=7)] == [[8, 9, 10]]


def test_segments_and_chunks_are_bounded(store, tmp_path, monkeypatch):
    """Rows of any number go into files and blocks of one size, and come back."""
    size = rows(11, 11).nbytes
    monkeypatch.setattr(metrics, "SEGMENT_BYTES", 3 * size)
    monkeypatch.setattr(metrics, "CHUNK_BYTES", 24)
    store.append(rows(11, 20))
    assert max(part.nbytes for part in store.stream(after=10)) <= 3 * size
    assert len(list(store.path.iterdir())) == 3 + 2
    store.consolidate(tmp_path / "metrics.nc")
    with xr.open_dataset(tmp_path / "metrics.nc") as opened:
        assert opened["ratio"].encoding["chunksizes"] == (2, 1, 3) and opened["steps"].encoding["chunksizes"] == (3,)
        assert_same(opened.load(), rows(1, 20))


def refuse(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_full_disk_costs_nothing(store, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(os, "fsync", refuse)
        with pytest.raises(RunError, match=r"cannot write .*000000011-000000012\.nc: No space left on device"):
            store.append(rows(11, 12))
        with pytest.raises(RunError, match=r"cannot write .*metrics\.nc"):
            store.consolidate(tmp_path / "metrics.nc")
    assert_same(store.load(), rows(1, 10))
    assert len(list(store.path.iterdir())) == 3 and not (tmp_path / "metrics.nc").exists()


FULL_DISK = """
import resource, sys
from pathlib import Path
from ltro_jax.storage import MetricStore, RunError

folder = Path(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for room in (0, 1000, 8000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        MetricStore(folder / "metrics").consolidate(folder / "metrics.nc")
    except RunError as error:
        sentence = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    remedy = "check the free space and the permissions there"
    assert sentence == f"cannot write {folder / 'metrics.nc'}: File too large; {remedy}"
    assert [path.name for path in folder.iterdir()] == ["metrics"]
"""


def test_a_disk_that_fills_under_hdf5_is_one_sentence(store, tmp_path):
    """At the first write, in the layout or in the rows; in a separate process, which HDF5 could end."""
    store.append(rows(11, 200))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    store.consolidate(tmp_path / "metrics.nc")
    with xr.open_dataset(tmp_path / "metrics.nc") as opened:
        assert_same(opened.load(), rows(1, 200))
