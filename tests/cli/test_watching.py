"""`ltro status`, `ltro tail`, `ltro export`: what a second process sees of a first, which it does not disturb."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored import made_up, stored_run

from ltro_jax.cli import main
from ltro_jax.runs.progress import Progress
from ltro_jax.storage import MetricStore, RunDirectory, RunError, save_checkpoint
from ltro_jax.storage.lock import holder
from ltro_jax.watch.status import statuses

ROOT = Path(__file__).resolve().parents[2]


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints: on stdout, or the one sentence on stderr where it is to fail."""
    capsys.readouterr()
    assert main(arguments) == code
    output = capsys.readouterr()
    if code != 2:
        assert output.err == ""
        return output.out
    assert output.out == "" and output.err.startswith("ltro: ") and output.err.count("\n") == 1
    return output.err.removeprefix("ltro: ").rstrip()


@pytest.fixture
def directory(tiny, tmp_path) -> RunDirectory:
    """Four of eight iterations; the second member has been frozen in the fourth."""
    config = tiny(seeds=(3, 7))
    directory = stored_run(tmp_path / "run", config, made_up(config, 1, 3), made_up(config, 4, 1, frozen=1))
    save_checkpoint(directory.checkpoints, 4, {"anything": np.zeros(2)}, keep=1)
    return directory


def test_status_of_a_run_that_is_stopped(directory, capsys):
    rows = MetricStore(directory.metrics).load()
    last = rows["episode_return"].values[0, -1]
    lines = said(capsys, "status", str(directory.path), "--metric", "episode_return", "agent/entropy/1").splitlines()
    assert lines[:3] == [
        f"{directory.path}: stopped",
        "  clip_happo on probe/matching, 2 members",
        "  iteration 4/8, 128 of 256 env steps",
    ]
    assert lines[3].startswith("  checkpoint of iteration 4, 0:00:0") and lines[3].endswith(" ago")
    entropy = rows["entropy"].values[0, -1, 1]
    assert lines[4:] == [
        f"  iteration 4: episode_return {last:.4g}, agent/entropy/1 {entropy:.4g}",
        "  frozen (non-finite): seed 7 (iteration 4)",
    ]
    found = json.loads(said(capsys, "status", str(directory.path), "--json"))
    assert found["state"] == "stopped" and found["frozen"] == [{"member": "seed 7", "iteration": 4}]
    assert found["latest"][0]["episode_return"] == pytest.approx(float(last))
    assert found["latest"][1]["eval_return_greedy"] is None and found["steps_per_second"] is None


def test_status_of_a_run_that_runs(directory, tiny, capsys, monkeypatch):
    """Between two checkpoints: the last device call counts; metrics being replaced just now are read again."""
    config = tiny(seeds=(3, 7))
    progress = Progress(False, 8, 32, 2, directory.path / "progress.json")
    with directory.lock():
        progress.began(4)
        lock = (directory.path / ".lock").read_bytes()
        assert "compiling or in its first device call" in said(capsys, "status", str(directory.path))
        progress._kept = 0.0  # as a second later
        progress.advanced(6, 2, 0.5, made_up(config, 5, 2))
        failing, load = [RunError("torn")], MetricStore.load

        def torn(store: MetricStore, *choice: Any, **options: Any) -> Any:
            if failing:
                raise failing.pop()
            return load(store, *choice, **options)

        monkeypatch.setattr(MetricStore, "load", torn)
        text = said(capsys, "status", str(directory.path))
        assert not failing and (directory.path / ".lock").read_bytes() == lock
        assert f"{directory.path}: running (by process {os.getpid()} on " in text
        assert "  iteration 6/8, 192 of 256 env steps, 256 steps/s, 0:00:00 left, last sign of life 0:00:0" in text
    assert f"{directory.path}: stopped" in said(capsys, "status", str(directory.path))


def test_watching_reads_older_rows_once(directory, tiny, monkeypatch):
    """And of them no metrics but those that tell who was frozen."""
    read = []
    stream = MetricStore.stream

    def noted(store: MetricStore, after: int = 0, only: Any = None) -> Any:
        read.append((after, only))
        return stream(store, after, only)

    monkeypatch.setattr(MetricStore, "stream", noted)
    known: dict[Any, Any] = {}
    frozen = [{"member": "seed 7", "iteration": 4}]
    for _ in range(2):
        assert statuses(directory.path, known=known)[0].frozen == frozen
    MetricStore(directory.metrics).append(made_up(tiny(seeds=(3, 7)), 5, 1, frozen=1))
    assert statuses(directory.path, known=known)[0].frozen == frozen
    assert read == [(3, None), (0, ("finite",)), (3, None), (4, None), (4, ("finite",))]
    MetricStore(directory.metrics).truncate(3)
    MetricStore(directory.metrics).append(made_up(tiny(seeds=(3, 7)), 4, 1, frozen=0))
    assert statuses(directory.path, known=known)[0].frozen == [{"member": "seed 3", "iteration": 4}]


def test_the_holder_of_a_lock(directory):
    lock = directory.path / ".lock"
    with directory.lock():
        kept = json.loads(lock.read_text())
        assert holder(directory.path) == (os.getpid(), kept["host"])
    assert holder(directory.path) is None and lock.read_bytes() == b""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    for change, there in (
        ({}, True),
        ({"began": "1"}, False),  # a later process of its number
        ({"pid": gone.pid}, False),
        ({"host": "elsewhere", "pid": gone.pid}, True),  # nobody can tell from here
    ):
        lock.write_text(json.dumps(kept | change))
        assert (holder(directory.path) is not None) == there, change
    for damaged in ("", "{", "[]", '{"pid": "x"}'):
        lock.write_text(damaged)
        assert holder(directory.path) is None


def test_status_of_a_sweep(directory, tiny, capsys):
    sweep, config = directory.path.parent, tiny(seeds=(3, 7))
    parts = {name: config.to_dict() for name in ("run", "broken", "later")}
    RunDirectory(sweep).write_json("sweep.json", {"format_version": 1, "command": None, "parts": parts})
    broken = stored_run(sweep / "broken", config, made_up(config, 1, 2))
    (broken.metrics / "000000001-000000002.nc").write_bytes(b"rubbish")
    lines = said(capsys, "status", str(sweep)).splitlines()
    assert lines[0] == "3 runs: 1 stopped, 1 unreadable, 1 waiting"
    assert lines[1] == f"  stopped    {sweep / 'run'}: iteration 4/8, 128 of 256 env steps, 1 of 2 members frozen"
    assert lines[2].startswith(f"  unreadable {sweep / 'broken'}: {broken.metrics}") and "is damaged (" in lines[2]
    assert lines[3] == f"  waiting    {sweep / 'later'}: iteration 0/8, 0 of 256 env steps"
    states = [part["state"] for part in json.loads(said(capsys, "status", str(sweep), "--json"))["parts"]]
    assert states == ["stopped", "unreadable", "waiting"] and directory.name == f"{sweep.name}/run"
    shutil.rmtree(broken.path)
    assert said(capsys, "tail", str(sweep), "-n", "1").startswith(f"{sweep / 'run'}  iteration 4  env_steps 128  episo")


def test_tail(directory, capsys):
    rows = MetricStore(directory.metrics).load()
    means = rows["adv_variance_used"].values[:, :3, 1].mean(0)
    metrics = "--metric", "position/adv_variance_used/1", "eval_return_greedy"
    lines = said(capsys, "tail", str(directory.path), *metrics).splitlines()
    assert lines[:2] == [
        f"iteration {at + 1}  env_steps {32 * (at + 1)}  position/adv_variance_used/1 {means[at]:.5g}  "
        "eval_return_greedy –"
        for at in range(2)
    ]
    assert len(lines) == 4 and f"eval_return_greedy {rows['eval_return_greedy'].values[:, 2].mean():.5g}" in lines[2]
    (line,) = said(capsys, "tail", str(directory.path), "-n", "1", "--metric", "entropy").splitlines()
    assert line.startswith("iteration 4  env_steps 128  agent/entropy/0 ") and "agent/entropy/1 " in line
    evaluated = said(capsys, "tail", str(directory.path), "-n", "2", "--metric", "eval_return_greedy").splitlines()
    assert [line.split()[1] for line in evaluated] == ["3", "4"]


def test_following_ends_with_the_run(directory, tiny, capsys, monkeypatch):
    """New rows appear while it waits; `status --watch` ends too, and Ctrl-C is exit code 130."""
    config, path = tiny(seeds=(3, 7)), str(directory.path)

    def sleep(_: float) -> None:
        store = MetricStore(directory.metrics)
        if store.last_iteration() == 8:
            save_checkpoint(directory.checkpoints, 8, {}, keep=1)
        else:
            store.append(made_up(config, 5, 4))

    monkeypatch.setattr("time.sleep", sleep)
    lines = said(capsys, "tail", path, "--follow", "-n", "1").splitlines()
    assert [line.split()[1] for line in lines] == ["4", "5", "6", "7", "8"]
    assert said(capsys, "status", path, "--watch").startswith(f"{path}: finished\n")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    shutil.rmtree(directory.checkpoints)
    monkeypatch.setattr("time.sleep", interrupted)
    assert said(capsys, "status", path, "--watch", code=130).startswith(f"{path}: stopped\n")
    assert said(capsys, "tail", path, "--follow", code=130)


def test_export(directory, capsys):
    text = said(capsys, "export", str(directory.path), "--metric", "episode_return")
    assert text == f"written: {directory.path / 'metrics.csv'}\n"
    lines = (directory.path / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("run,task,algorithm,point,seed,") and len(lines) == 1 + 4 + 3
    netcdf = "export", str(directory.path), "--format", "netcdf"
    assert "needs an output file" in said(capsys, *netcdf, "--metric", "episode_return", code=2)
    assert said(capsys, *netcdf) == f"written: {directory.path / 'metrics.nc'}\n"


@pytest.mark.parametrize("command", ["status", "tail", "export", "track"])
def test_what_is_refused(command, directory, tmp_path, capsys):
    more = ("--tracker", "mlflaw") if command == "track" else ("--metric", "entrpy")
    if command == "track":
        pytest.importorskip("tensorboard")
        assert said(capsys, command, str(directory.path), *more, code=2).startswith(
            "tracker = 'mlflaw' is not one of w"
        )
        more = ("--tracker", "tensorboard")
    else:
        sentence = said(capsys, command, str(directory.path), *more, code=2)
        assert sentence.startswith("metric = 'entrpy' is unknown; did you mean entropy")
    assert said(capsys, command, str(tmp_path / "none"), *more, code=2).startswith("there is no run ")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    assert "is not a run directory: it has no environment.json" in said(capsys, command, str(foreign), *more, code=2)
    for segment in directory.metrics.iterdir():
        segment.write_bytes(b"rubbish")
    before = sorted(directory.path.rglob("*"))
    assert "is damaged (" in said(capsys, command, str(directory.path), *more, code=2)
    assert sorted(directory.path.rglob("*")) == before


def test_watching_touches_no_device(directory, tmp_path):
    """A GPU's memory belongs to the process that trains."""
    commands = [[name, str(directory.path)] for name in ("status", "tail", "export")]
    program = (
        "import json, sys; from jax._src import xla_bridge; from ltro_jax.cli import main\n"
        "assert all(main(command) == 0 for command in json.loads(sys.argv[1]))\n"
        "assert not xla_bridge.backends_are_initialized()"
    )
    command = [sys.executable, "-c", program, json.dumps(commands)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
