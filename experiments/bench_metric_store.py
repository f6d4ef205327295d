"""Metrics of a very large run on disk: seconds and memory to store them, join them in one file, and read some back.

    python experiments/bench_metric_store.py          # 1,024 members × 2,500 iterations × 48 agents; 8 GB of disk
    python experiments/bench_metric_store.py --members 64 --iterations 500

The values are random; nothing is trained. There are fewer metrics than a run records: `--agent_metrics` of each
agent and three of each iteration. More of them make more segments of the same size. Rows come as from device calls of
ten iterations and are stored as a run stores them between checkpoints. Each phase has its own process; `peak_mib`
is its largest resident memory; the phase "nothing" shows the memory of Python and the libraries. Writes
`results/metric_store.json`.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.runs.metrics_file import store_rows, too_large
from ltro_jax.storage import MetricStore

CALL = 10  # iterations of one device call
RESULTS = Path(__file__).parent / "results" / "metric_store.json"


def rows(first: int, size: argparse.Namespace) -> xr.Dataset:
    """The rows of one device call."""
    draw, iterations = np.random.default_rng(first), np.arange(first, min(first + CALL, size.iterations + 1))
    shape = (size.members, iterations.size)
    each = ("member", "iteration")
    variables: dict[str, Any] = {name: (each, draw.random(shape, np.float32)) for name in ("episode_return", "kl")}
    variables["finite"] = (each, np.ones(shape, bool))
    for index in range(size.agent_metrics):
        variables[f"agent_{index}"] = ((*each, "agent"), draw.random((*shape, size.agents), np.float32))
    coordinates = {
        "iteration": iterations,
        "env_steps": ("iteration", iterations * 4000),
        "seed": ("member", np.arange(size.members)),
        "agent": [f"agent_{index}" for index in range(size.agents)],
    }
    return xr.Dataset(variables, coordinates)


def nothing(size: argparse.Namespace, place: Path) -> None:
    """The part that all phases share."""


def store(size: argparse.Namespace, place: Path) -> None:
    """Store as the host loop does, without checkpoints; includes the time to draw the values."""
    metrics, pending = MetricStore(place / "metrics"), []
    for first in range(1, size.iterations + 1, CALL):
        pending.append(rows(first, size))
        if too_large(pending) or first + CALL > size.iterations:
            store_rows(metrics, pending, replace=False)
            pending = []


def consolidate(size: argparse.Namespace, place: Path) -> None:
    """Join all metrics in one file."""
    MetricStore(place / "metrics").consolidate(place / "metrics.nc")


def read_one_metric(size: argparse.Namespace, place: Path) -> None:
    """Read a metric of each member and iteration from the segments, as `ltro status` reads `finite`."""
    assert MetricStore(place / "metrics").load(only=("finite",))["finite"].values.all()


def open_the_file(size: argparse.Namespace, place: Path) -> None:
    """Read the newest row of a metric of each agent by xarray and compare it with the stored row."""
    with xr.open_dataset(place / "metrics.nc") as opened:
        assert opened.sizes["iteration"] == size.iterations
        newest = opened["agent_0"][:, -1].values
    first = (size.iterations - 1) // CALL * CALL + 1
    np.testing.assert_array_equal(newest, rows(first, size)["agent_0"].values[:, -1])


def measured(
    phase: Callable[[argparse.Namespace, Path], None], size: argparse.Namespace, place: Path
) -> dict[str, Any]:
    """Run a phase in a separate process."""
    began = time.perf_counter()
    phase(size, place)
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"phase": phase.__name__, "seconds": round(seconds, 1), "peak_mib": round(peak / 2**20)}


def main() -> None:
    """Run all phases in sequence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=1024)
    parser.add_argument("--iterations", type=int, default=2500)
    parser.add_argument("--agents", type=int, default=48)
    parser.add_argument("--agent_metrics", type=int, default=8)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    size = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="metric_store_"))
    phases = []
    try:
        for phase in (nothing, store, consolidate, read_one_metric, open_the_file):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                phases.append(pool.apply(measured, (phase, size, place)))
            print(json.dumps(phases[-1]), flush=True)
        segments = [file.stat().st_size for file in (place / "metrics").iterdir()]
        stored = {
            "segments": len(segments),
            "largest_segment_mib": round(max(segments) / 2**20, 1),
            "segments_mib": round(sum(segments) / 2**20),
            "file_mib": round((place / "metrics.nc").stat().st_size / 2**20),
        }
    finally:
        shutil.rmtree(place)
    what = {name: value for name, value in vars(size).items() if name != "output"}
    versions = {name: version(name) for name in ("xarray", "h5netcdf", "h5py", "numpy")}
    note = f"synthetic: {size.agent_metrics} metrics of each agent and 3 of each iteration, fewer than a run records"
    result = {"note": note, "size": what, "stored": stored, "phases": phases, "python": platform.python_version()}
    size.output.write_text(json.dumps(result | {"packages": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
