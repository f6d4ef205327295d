"""External failures during a run: exit code 2, one sentence, and the run resumes as if nothing had happened."""

import errno
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from comparing import assert_same_run

from ltro_jax import load_run
from ltro_jax.cli import main
from ltro_jax.storage import MetricStore, RunError, list_checkpoints

pytestmark = pytest.mark.usefixtures("shared_programs")

host_loop: Any = importlib.import_module("ltro_jax.runs.train")  # the package's `train` is the function


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that exits with 2."""
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("ltro: ") and error.count("\n") == 1
    return error.removeprefix("ltro: ").rstrip()


def contents(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file can grow beyond `room` bytes, which is as near to a full disk as one process gets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("what", ["metrics", "checkpoint"])
def test_the_disk_is_full(trained, options, tmp_path, monkeypatch, capsys, what):
    """From the second checkpoint on."""

    def append_without_room(store: MetricStore, dataset: Any) -> None:
        with full_disk(1000 if store.last_iteration() else 2**30):
            append(store, dataset)

    def save_without_room(directory: Path, iteration: int, *rest: Any) -> None:
        with full_disk(1000 if iteration == 8 else 2**30):
            save(directory, iteration, *rest)

    path = tmp_path / "run"
    append, save = MetricStore.append, host_loop.save_checkpoint
    with monkeypatch.context() as patch:
        if what == "metrics":
            patch.setattr(MetricStore, "append", append_without_room)
        else:
            patch.setattr(host_loop, "save_checkpoint", save_without_room)
        sentence = refusal(capsys, "train", "probe/matching", "--quiet", "--out", str(path), *options)
        assert refusal(capsys, "resume", str(path), "--quiet") == sentence
    place, remedy = {
        "metrics": ("metrics/000000005-000000008.nc", "check the free space and the permissions there"),
        "checkpoint": ("checkpoints/000000008", "older ones are intact; free some space and resume"),
    }[what]
    assert sentence.endswith(f"{path / place}: File too large; {remedy}")
    assert list_checkpoints(path / "checkpoints") == [4] and not load_run(path).finished
    assert main(["resume", str(path), "--quiet"]) == 0
    assert_same_run(load_run(path), load_run(trained))
    assert not [file for file in path.rglob(".*") if file.name != ".lock"]


def test_the_directory_is_read_only(trained, options, tmp_path, monkeypatch, capsys):
    """Simulated, since a superuser may write everywhere."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    path, before = tmp_path / "deep" / "run", contents(trained)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        sentence = refusal(capsys, "train", "probe/matching", "--quiet", "--out", str(path), *options)
    assert sentence == f"cannot create the run directory {path}: Read-only file system; choose another --out"
    with monkeypatch.context() as patch:
        patch.setattr("ltro_jax.storage.lock.open", refuse, raising=False)
        sentence = refusal(capsys, "resume", str(trained))
    assert sentence.startswith(f"cannot lock the run directory {trained}: Read-only file system; check the free space")
    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", refuse)
        sentence = refusal(capsys, "plot", str(trained))
    assert sentence.startswith(f"cannot write {trained / 'eval_return_greedy.png'}: Read-only file system; choose")
    assert contents(trained) == before and not path.parent.exists()


def test_the_result_of_another_users_run_is_not_lost(trained, tmp_path, monkeypatch, capsys):
    """The table is printed and the JSON is written; only the copy in the run is missing, and said to be."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RunError("cannot write there")

    before = contents(trained)
    monkeypatch.setattr("ltro_jax.storage.RunDirectory.write_json", refuse)
    assert main(["eval", str(trained), "--episodes", "2", "--json", str(tmp_path / "mine.json")]) == 0
    out, err = capsys.readouterr()
    assert "IQM" in out and json.loads((tmp_path / "mine.json").read_text())["episodes"] == 2
    assert err == "ltro: the result is not saved in the run: cannot write there\n" and contents(trained) == before


def test_a_second_process_is_refused(trained, options, capsys):
    """While another holds the run."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print('held', flush=True); input()"
    before = contents(trained)
    command = [sys.executable, "-c", code, str(trained / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        sentence = refusal(capsys, "resume", str(trained))
        assert sentence == f"another process is writing to {trained}; wait until it ends or stop it"
        again = refusal(capsys, "train", "probe/matching", "--out", str(trained), *options)
        assert again.startswith(f"{trained} already exists; resume it with")
        other.communicate(b"\n")
    assert contents(trained) == before
    assert main(["resume", str(trained), "--quiet"]) == 0


@pytest.mark.parametrize("command", ["resume", "eval", "plot", "report"])
def test_a_run_of_a_newer_format(trained, tmp_path, capsys, command):
    path = shutil.copytree(trained, tmp_path / "run")
    environment = json.loads((path / "environment.json").read_text()) | {"format_version": 7}
    (path / "environment.json").write_text(json.dumps(environment))
    before = contents(path)
    sentence = refusal(capsys, command, str(path))
    assert sentence == f"{path} was written by a newer ltro_jax (format 7; this one reads up to 4): upgrade"
    assert contents(path) == before


def test_a_sweep_killed_while_a_part_was_made_goes_on(options, tmp_path, capsys):
    """Also within the first file of all."""
    path = tmp_path / "sweep"
    path.mkdir()
    (path / ".sweep.json.1.tmp").write_text("{")
    (path / "all").mkdir()
    sweep = ["sweep", "probe/matching", "--quiet", "--out", str(path), *options, "--grid", "gamma=0.9"]
    assert "already exists" in refusal(capsys, *sweep)  # something else than a leftover
    (path / "all").rmdir()
    assert main([word.replace("256", "64") for word in sweep]) == 0
    (part,) = path.glob("all")
    for name in ("settings.json", "checkpoints", "metrics", "metrics.nc", "progress.json", "timing.json"):
        (shutil.rmtree if (part / name).is_dir() else os.unlink)(part / name)
    (part / ".settings.json.1.tmp").write_text("{")
    assert main(["resume", str(path), "--quiet"]) == 0
    assert load_run(part).finished and "gamma=0.9" in (path / "summary.md").read_text()
