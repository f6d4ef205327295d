"""A run that was stopped, killed or damaged ends exactly as one that never was."""

import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import optax
import pytest
import xarray as xr
from comparing import assert_same_run

from ltro_jax import Config, RunError, load_policy, load_run, resume, train
from ltro_jax.runs import metrics_file
from ltro_jax.runs.train import train_or_resume
from ltro_jax.storage import MetricStore, checkpoints, list_checkpoints, load_stretches, save_checkpoint

pytestmark = pytest.mark.usefixtures("shared_programs")

host_loop: Any = importlib.import_module("ltro_jax.runs.train")  # the package's `train` is the function


class Killed(BaseException):
    """The process is gone at this point."""


def test_the_comparison_sees_the_whole_state(finished):
    state = finished.restore().state
    assert state.agents.params["params"]["head"]["kernel"].shape == (2, 2, 8, 3)
    assert optax.tree.get(state.agents.opt_state, "nu").any() and state.critic.value_norm.debias.all()
    assert {leaf.shape[0] for leaf in jax.tree.leaves(state)} == {2}
    assert state.tally.episode_length.any()  # the run ends in the middle of episodes


@pytest.mark.parametrize("iteration, moment, left", [(4, "metrics", []), (8, "checkpoint", [4])])
def test_killed_and_resumed(settings, finished, tmp_path, monkeypatch, iteration, moment, left):
    """Killed before the metrics of an iteration are written, or between them and its checkpoint."""

    def dying_save(directory: Path, at: int, *rest: Any) -> None:
        if at == iteration:
            raise Killed
        save(directory, at, *rest)

    def dying_append(store: MetricStore, dataset: xr.Dataset) -> None:
        if int(dataset["iteration"][-1]) == iteration:
            raise Killed
        append(store, dataset)

    save, append = host_loop.save_checkpoint, MetricStore.append
    with monkeypatch.context() as patch:
        if moment == "checkpoint":
            patch.setattr(host_loop, "save_checkpoint", dying_save)
        else:
            patch.setattr(MetricStore, "append", dying_append)
        with pytest.raises(Killed):
            train(settings, tmp_path / "run", progress=False)
    killed = load_run(tmp_path / "run")
    assert not killed.finished
    assert not (killed.path / "metrics.nc").exists()
    assert list_checkpoints(killed.directory.checkpoints) == left
    assert_same_run(resume(killed.path, progress=False), finished)


def test_rows_are_stored_before_their_checkpoint_where_they_are_many(settings, finished, tmp_path, monkeypatch):
    """Each device call at once; what a kill leaves beyond the newest checkpoint is forgotten and trained again."""

    def dying_save(directory: Path, at: int, *rest: Any) -> None:
        if at == 8:
            raise Killed
        save(directory, at, *rest)

    save = host_loop.save_checkpoint
    monkeypatch.setattr(metrics_file, "PENDING_BYTES", 1)
    with monkeypatch.context() as patch:
        patch.setattr(host_loop, "save_checkpoint", dying_save)
        with pytest.raises(Killed):
            train(settings, tmp_path / "run", progress=False)
    killed = load_run(tmp_path / "run")
    names = [path.name for path in sorted(killed.directory.metrics.iterdir())]
    assert names == [f"{first:09d}-{first + 1:09d}.nc" for first in (1, 3, 5, 7)]
    assert_same_run(resume(killed.path, progress=False), finished)
    assert [(row.first, row.last) for row in load_stretches(killed.directory)] == [(1, 4), (5, 8)]


def test_a_metrics_file_that_cannot_be_written_is_a_warning(settings, finished, tmp_path, monkeypatch, capsys):
    """The run counts as finished, for a sweep too; resuming it writes the file."""

    def refuse(store: MetricStore, target: Path) -> None:
        raise RunError(
            f"cannot write {target}: No space left on device; check the free space and the permissions there"
        )

    path = shutil.copytree(finished.path, tmp_path / "run")
    (path / "metrics.nc").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(MetricStore, "consolidate", refuse)
        assert resume(path, progress=False).finished
        warned = capsys.readouterr().err
        assert warned.startswith(f"ltro: cannot write {path / 'metrics.nc'}: No space left") and warned.count("\n") == 1
        assert f"`ltro export {path} --format netcdf -o FILE`" in warned
        assert train_or_resume(settings, path, progress=False).finished
        assert capsys.readouterr().err == ""
    assert_same_run(resume(path, progress=False), finished)


def test_hidden_states_are_resumed(tiny, tmp_path, monkeypatch):
    """A recurrent actor shared by unlike agents and a recurrent critic, killed in the middle of episodes."""
    memory = {"recurrent": True, "share_parameters": "all", "critic_input": "agent_state"}
    settings = tiny(task="probe/unlike", seeds=(3, 7), actor_lr=0.01, **memory)
    whole = train(settings, tmp_path / "whole", progress=False)
    state = whole.restore(4).state
    assert state.actor_hidden.shape == (2, 4, 2, 8) and state.actor_hidden.any()
    assert state.critic_hidden.shape == (2, 1, 8, 8) and state.critic_hidden.any()
    save = host_loop.save_checkpoint

    def dying_save(directory: Path, at: int, *rest: Any) -> None:
        if at == 8:
            raise Killed
        save(directory, at, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(host_loop, "save_checkpoint", dying_save)
        with pytest.raises(Killed):
            train(settings, tmp_path / "run", progress=False)
    assert_same_run(resume(tmp_path / "run", progress=False), whole)


SIGKILL_AT_THE_END = """
import importlib, os, signal, sys
from ltro_jax import Config, train
from ltro_jax.storage import RunDirectory
host_loop = importlib.import_module("ltro_jax.runs.train")
save = host_loop.save_checkpoint

def dying(directory, iteration, *rest):
    if iteration == 8:
        (directory / ".writing-8").mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
    save(directory, iteration, *rest)

host_loop.save_checkpoint = dying
train(Config.stored(RunDirectory.open(sys.argv[1]).settings), sys.argv[2], progress=False)
"""


def test_a_killed_process_is_resumed(finished, tmp_path, capsys):
    """SIGKILL in the middle of writing a checkpoint; the lock of the dead process is no hindrance."""
    arguments = [str(finished.path), str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", SIGKILL_AT_THE_END, *arguments], capture_output=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = resume(tmp_path / "run")
    assert ".writing-8 is incomplete; using the previous checkpoint" in capsys.readouterr().out
    assert_same_run(resumed, finished)


def test_ctrl_c_saves_and_says_how_to_go_on(tiny, tmp_path, capfd):
    """One SIGINT to the command line: exit code 130, everything saved, and resumed it ends as if never stopped."""
    config: Config = tiny(seeds=(3, 7), actor_lr=0.01, total_env_steps=200 * 32, checkpoint_interval=90)
    path = tmp_path / "stopped"
    # A process that is started in the background ignores SIGINT.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = f"{heard}import sys; from ltro_jax.cli import main; sys.exit(main())"
    changed = {name: value for name, value in config.to_dict().items() if value != Config().to_dict()[name]}
    options = [f"--{name}={_text(value)}" for name, value in changed.items() if name != "task"]
    command = [sys.executable, "-u", "-c", program, "train", config.static.task, "--out", str(path), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("iteration "):
                    process.send_signal(signal.SIGINT)
                    break
            rest, errors = process.communicate(timeout=100)
        finally:
            process.kill()
    output = "".join(said) + rest
    assert process.returncode == 130, errors
    assert "stopping after this device call" in errors and f"resume it with `ltro resume {path}`" in output
    stopped = load_run(path)
    assert 2 <= stopped.iteration < 200 and not stopped.finished
    assert list_checkpoints(stopped.directory.checkpoints)[-1] == stopped.iteration
    assert stopped.metrics.sizes["iteration"] == stopped.iteration and not (path / "metrics.nc").exists()
    assert stopped.config == config
    uninterrupted = train(config, tmp_path / "whole", progress=False)
    assert_same_run(resume(path, progress=False), uninterrupted)
    assert list_checkpoints(uninterrupted.directory.checkpoints) == [180, 200]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def damage(checkpoint: Path) -> None:
    """Change one byte of the largest file."""
    file = max((file for file in checkpoint.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_damaged_checkpoint_is_named_and_the_previous_one_used(finished, tmp_path, capsys):
    path = shutil.copytree(finished.path, tmp_path / "run")
    damage(path / "checkpoints" / "000000008")
    resumed = resume(path)
    output, warned = capsys.readouterr()
    place = path / "checkpoints"
    assert warned.startswith(f"ltro: checkpoint 000000008 of {place} is damaged (state.npz: checksum differs)")
    assert warned.endswith("; checkpoint 000000004 is used\n") and "resuming at iteration 4" in output
    assert_same_run(resumed, finished)


@pytest.mark.parametrize("moment", ["truncate", "append", "save"])
def test_nothing_newer_goes_before_the_next_checkpoint_is_safe(finished, tmp_path, monkeypatch, moment):
    """The newest checkpoint is damaged, and the process killed in its first save after the resume."""
    path = shutil.copytree(finished.path, tmp_path / "run")
    newest = path / "checkpoints" / "000000008"
    damage(newest)

    def die(*_: Any) -> None:
        raise Killed

    place, name = {
        "truncate": (MetricStore, "truncate"),
        "append": (MetricStore, "append"),
        "save": (host_loop, "save_checkpoint"),
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(Killed):
            resume(path, progress=False)
    assert list_checkpoints(path / "checkpoints") == [4, 8]
    assert load_run(path).iteration == (4 if moment == "append" else 8)
    shutil.rmtree(newest)
    shutil.copytree(finished.path / "checkpoints" / "000000008", newest)  # the damage was one of reading, or mended
    assert_same_run(resume(path, progress=False), finished)


def test_a_damaged_checkpoint_displaces_no_intact_one(finished, tmp_path):
    save_checkpoint(tmp_path, 4, finished.restore(4).state, keep=2)
    save_checkpoint(tmp_path, 8, finished.restore(8).state, keep=2)
    save_checkpoint(tmp_path, 12, finished.restore(8).state, keep=2, damaged={8: "checksum differs"})
    assert list_checkpoints(tmp_path) == [4, 12]
    save_checkpoint(tmp_path, 12, finished.restore(8).state, keep=2, damaged={12: "checksum differs"})
    assert list_checkpoints(tmp_path) == [4, 12]


@pytest.mark.parametrize("file", ["manifest.json", "leaves.json", "state.npz", "checkpoints"])
def test_a_disk_that_cannot_be_read_is_no_damage(finished, tmp_path, monkeypatch, file):
    """One transient error of reading: a sentence, and every file is as it was."""
    path = shutil.copytree(finished.path, tmp_path / "run")
    before = {entry: entry.stat().st_mtime_ns for entry in path.rglob("*") if entry.name != ".lock"}

    def failing(read: Any) -> Any:
        def call(at: Any, *rest: Any, **more: Any) -> Any:
            if str(at).endswith((f"000000008/{file}", f"run/{file}")):
                raise OSError(5, "Input/output error", str(at))
            return read(at, *rest, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", failing(os.listdir))
        patch.setattr("builtins.open", failing(open))
        patch.setattr("io.open", failing(io.open))
        for attempt in (lambda: resume(path, progress=False), lambda: load_policy(path)):
            with pytest.raises(RunError, match=r"^cannot read the checkpoints in .*: Input/output error; nothing is"):
                attempt()
    assert {entry: entry.stat().st_mtime_ns for entry in path.rglob("*") if entry.name != ".lock"} == before
    assert resume(path, progress=False).restore().iteration == 8


def test_a_checkpoint_that_is_deleted_while_it_is_read_is_no_damage(finished, tmp_path, monkeypatch):
    """A process that trains keeps one checkpoint, and replaces it just when a reader has chosen it."""
    path = shutil.copytree(finished.path, tmp_path / "run")
    shutil.rmtree(path / "checkpoints" / "000000008")
    digest = checkpoints._digest

    def replaced(file: Path) -> Any:
        if "000000004" in str(file):
            save_checkpoint(path / "checkpoints", 8, finished.restore(8).state, keep=1)
        return digest(file)

    monkeypatch.setattr(checkpoints, "_digest", replaced)
    restored = load_run(path).restore()
    assert (restored.iteration, restored.damaged) == (8, {})


def test_without_an_intact_checkpoint_nothing_is_touched(finished, tmp_path):
    path = shutil.copytree(finished.path, tmp_path / "run")
    for checkpoint in ("000000004", "000000008"):
        damage(path / "checkpoints" / checkpoint)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != ".lock"}
    with pytest.raises(RunError, match="no usable checkpoint") as error:
        resume(path, progress=False)
    assert "000000004 is damaged" in str(error.value) and "000000008 is damaged" in str(error.value)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != ".lock"} == before


def test_a_finished_run_only_gets_its_metrics_file(finished, tmp_path, capsys):
    """As after a kill between the last checkpoint and the file."""
    path = shutil.copytree(finished.path, tmp_path / "run")
    (path / "metrics.nc").unlink()
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file() and file.name != ".lock"}
    assert_same_run(resume(path), finished)
    assert capsys.readouterr().out.endswith(f"{path} is finished: 8 iterations\n")
    assert before == {file: file.stat().st_mtime_ns for file in before}


@pytest.mark.parametrize("lost", ["every checkpoint", "the only manifest"])
def test_lost_checkpoints_do_not_cost_the_metrics(finished, tmp_path, lost):
    path = shutil.copytree(finished.path, tmp_path / "run")
    if lost == "every checkpoint":
        shutil.rmtree(path / "checkpoints")
    else:
        shutil.rmtree(path / "checkpoints" / "000000004")
        (path / "checkpoints" / "000000008" / "manifest.json").unlink()
    expected = "no checkpoint to resume from" if lost == "every checkpoint" else "000000008 is damaged"
    with pytest.raises(RunError, match=expected):
        resume(path, progress=False)
    assert load_run(path).metrics.identical(finished.metrics)


def test_another_machine_is_named(finished, tmp_path, capsys):
    path = shutil.copytree(finished.path, tmp_path / "run")
    shutil.rmtree(path / "checkpoints" / "000000008")
    environment = json.loads((path / "environment.json").read_text())
    environment["packages"]["jax"] = "0.1.0"
    (path / "environment.json").write_text(json.dumps(environment))
    resume(path)
    assert "the environment has changed since the start of the run (jax 0.1.0 → " in capsys.readouterr().out


def test_what_cannot_be_resumed(tmp_path, finished):
    with pytest.raises(RunError, match="there is no run"):
        resume(tmp_path / "nowhere")
    os.makedirs(tmp_path / "empty")
    with pytest.raises(RunError, match="is not a run directory"):
        resume(tmp_path / "empty")
    with finished.directory.lock(), pytest.raises(RunError, match="another process is writing"):
        resume(finished.path)


@pytest.mark.parametrize("written", [1, 2])
def test_the_state_of_an_older_version_is_refused(tmp_path, finished, written):
    """Its metrics can still be read, and nothing is touched."""
    path = shutil.copytree(finished.path, tmp_path / "run")
    environment = json.loads((path / "environment.json").read_text()) | {"format_version": written}
    (path / "environment.json").write_text(json.dumps(environment))
    before = sorted(path.rglob("*"))
    run = load_run(path)
    assert run.metrics.sizes["iteration"] == 8
    for use in (run.restore, run.evaluate, lambda: resume(path, progress=False)):
        with pytest.raises(RunError, match=rf"older ltro_jax \(format {written}; this one reads format 4\)"):
            use()
    assert sorted(path.rglob("*")) == before
