"""The run directory: what is written is read back, and a refusal is a sentence with a path and a remedy."""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from ltro_jax.storage import RunDirectory, RunError, claim_directory, output_directory

SETTINGS = {"algorithm": "happo", "factor_clip": math.inf, "low": -math.inf, "sizes": [64, 64], "note": None}


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "deep" / "run", SETTINGS, command="ltro train")


def test_settings_and_environment_round_trip(run):
    opened = RunDirectory.open(str(run.path))
    assert opened == run and opened.name == "run"
    assert opened.settings == SETTINGS
    assert "Infinity" not in (run.path / "settings.json").read_text()
    environment = opened.environment
    assert environment["format_version"] == 4 and environment["command"] == "ltro train"
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["devices"]["count"] >= 1


def test_results_of_numpy_become_numbers(run):
    run.write_json("evaluation.json", {"returns": np.array([1.5, np.inf]), "nan": np.float64("nan")})
    content = run.read_json("evaluation.json")
    assert content["returns"] == [1.5, math.inf] and math.isnan(content["nan"])


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "Infinity", ""])
def test_text_that_looks_like_a_number_stays_text(run, text):
    content = {"name": text, "in": [text, {"deep": text}], "number": math.inf}
    run.write_json("settings.json", content)
    assert run.settings == content
    assert run.read_json("settings.json")["number"] == math.inf


def test_an_existing_run_is_not_overwritten(run, tmp_path):
    run.metrics.mkdir()
    (run.metrics / "000000001-000000002.nc").touch()
    with pytest.raises(RunError, match=r"already exists; resume it with `ltro resume .*` or choose another --out"):
        RunDirectory.create(run.path, {})
    (tmp_path / "empty").mkdir()
    RunDirectory.create(tmp_path / "empty", {})
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="already exists"):
        RunDirectory.create(tmp_path / "file", {})
    with pytest.raises(RunError, match="cannot create the run directory"):
        RunDirectory.create(tmp_path / "file" / "below", {})


def test_a_run_that_saved_nothing_is_begun_again(run):
    """It failed, was stopped or killed before its first checkpoint; what it left belongs to no iteration."""
    for name in ("checkpoints/.writing-2", "metrics", "trackers/mlflow"):
        (run.path / name).mkdir(parents=True)
    (run.path / "progress.json").write_text("{}")
    again = RunDirectory.create(run.path, {"algorithm": "hatrpo"})
    assert RunDirectory.open(run.path).settings == {"algorithm": "hatrpo"} and again == run
    assert not (run.path / "trackers").exists() and not (run.path / "progress.json").exists()
    (run.path / "notes.txt").touch()  # a person's
    with pytest.raises(RunError, match="already exists"):
        RunDirectory.create(run.path, SETTINGS)


def test_paths_as_people_type_them(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for typed in ("~/deep/run", "~/deep/run/", f"{run.path}/settings.json", f"{run.path}/.lock"):
        assert RunDirectory.open(typed) == run
    assert RunDirectory.create("~/other run", {}).path == tmp_path / "other run"
    with pytest.raises(RunError, match=r"^'.*two\\nlines' contains unprintable characters; choose another --out$"):
        RunDirectory.create(tmp_path / "two\nlines", {})


def test_default_directories_never_coincide(tmp_path, monkeypatch):
    """Twenty at the same moment, beside one that is there already."""
    moment = datetime(2031, 1, 2, 3, 4, 5)
    monkeypatch.setattr("ltro_jax.storage.run_directory.datetime", SimpleNamespace(now=lambda *_: moment))
    with ThreadPoolExecutor(20) as pool:
        claimed = list(pool.map(lambda _: claim_directory("sweep", tmp_path / "runs"), range(20)))
    name = "sweep-20310102-030405"
    assert sorted(path.name for path in claimed) == sorted([name, *(f"{name}-{n}" for n in range(2, 21))])
    assert all(path.is_dir() for path in claimed)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot create "):
        claim_directory("sweep", tmp_path / "file")


def test_an_error_leaves_no_empty_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError), output_directory(None, "theory") as path:
        raise ValueError
    assert not path.exists()
    failing = output_directory(None, "theory")
    path = failing.__enter__()
    (path / "table.csv").touch()
    error = ValueError()
    assert not failing.__exit__(ValueError, error, error.__traceback__) and path.exists()
    with output_directory("mine", "theory") as path:
        assert str(path) == "mine" and not path.exists()


class Killed(BaseException):
    """The process is gone at this point."""


@pytest.mark.parametrize("moment", [0, 1])
def test_a_making_that_was_killed_is_done_again(tmp_path, monkeypatch, moment):
    """While the first or the second file was written."""
    moments = iter(range(9))

    def dying_replace(*paths):
        if next(moments) == moment:
            raise Killed
        replace(*paths)

    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying_replace)
        with pytest.raises(Killed):
            RunDirectory.create(tmp_path / "run", SETTINGS)
    assert any(path.suffix == ".tmp" for path in (tmp_path / "run").iterdir())
    with pytest.raises(RunError, match="run was killed before it began; start it again with the same `ltro train`"):
        RunDirectory.open(tmp_path / "run")
    run = RunDirectory.create(tmp_path / "run", SETTINGS)
    assert RunDirectory.open(run.path).settings == SETTINGS
    assert {path.name for path in run.path.iterdir()} == {"settings.json", "environment.json", ".lock"}


def test_two_processes_cannot_make_the_same_run(tmp_path):
    (tmp_path / "run").mkdir()
    with RunDirectory(tmp_path / "run").lock(), pytest.raises(RunError, match="another process is writing"):
        RunDirectory.create(tmp_path / "run", SETTINGS)


def test_open_refuses_what_is_no_run(run, tmp_path):
    with pytest.raises(RunError, match=r"there is no run .*absent"):
        RunDirectory.open(tmp_path / "absent")
    with pytest.raises(RunError, match="not a run directory"):
        RunDirectory.open(tmp_path)
    settings = run.path / "settings.json"
    for damage in (settings.read_bytes()[:-9], b"[]", b"\xff"):
        settings.write_bytes(damage)
        with pytest.raises(RunError, match=r"settings\.json is damaged"):
            RunDirectory.open(run.path)


def test_open_refuses_a_newer_format(run):
    run.write_json("environment.json", run.environment | {"format_version": 7})
    with pytest.raises(RunError, match=r"newer ltro_jax \(format 7; this one reads up to 4\): upgrade"):
        RunDirectory.open(run.path)


def test_a_failed_write_leaves_the_old_file_alone(run, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RunError, match=r"cannot write .*settings\.json: No space left on device; check"):
        run.write_json("settings.json", {})
    monkeypatch.undo()
    assert run.settings == SETTINGS
    assert {path.name for path in run.path.iterdir()} == {"settings.json", "environment.json", ".lock"}


def test_a_second_process_cannot_lock(run):
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(run.path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process is writing to"), run.lock():
            pass
        other.communicate(b"\n")
    for _ in range(2):  # Free again, also after our own use.
        with run.lock(), pytest.raises(RunError, match="another process"), run.lock():
            pass


def test_the_lock_is_not_written_through_a_link(run, tmp_path):
    target = tmp_path / "mine"
    target.write_text("keep")
    for there in (target, tmp_path / "nowhere"):
        (run.path / ".lock").unlink()
        (run.path / ".lock").symlink_to(there)
        with pytest.raises(RunError, match=r"\.lock is a symbolic link, .*; delete the link$"), run.lock():
            pass
    assert target.read_text() == "keep" and not (tmp_path / "nowhere").exists()


def test_errors_of_the_body_pass_through_the_lock(run):
    with pytest.raises(BlockingIOError), run.lock():
        raise BlockingIOError


def test_settings_are_plain_json(run):
    assert json.loads((run.path / "settings.json").read_text())["factor_clip"] == "inf"
