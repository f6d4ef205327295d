"""What a run shows, writes and refuses; the compilation cache's switch."""

import json
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax.experimental.compilation_cache import compilation_cache as jax_cache
from stored import made_up

from ltro_jax import Config, RunError, SettingsError, load_run, train
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.progress import Progress, short

pytestmark = pytest.mark.usefixtures("shared_programs")


def test_progress_tells_what_happens(settings, tmp_path, monkeypatch, capfd):
    """And without `out` the run is under runs/."""
    monkeypatch.chdir(tmp_path)
    run = train(settings)
    shown, errors = capfd.readouterr()
    assert errors == ""
    lines = shown.splitlines()
    assert lines[0].startswith("training: clip_happo on probe/matching (team reward: shared), 2 seeds, 8 ")
    assert re.fullmatch(r"compiled in \d+\.\d s on \d+ × .+", lines[1])
    progress = r"iteration 2/8, 64 env steps × 2 members, \S+ steps/s, return \d\.\d\d, eval \d\.\d\d, 0:00:\d\d left"
    assert re.fullmatch(progress, lines[2])
    assert lines[-2].startswith("iteration 8/8, 256 env steps × 2 members, ") and lines[-2].endswith(", 0:00:00 left")
    assert lines[-1] == f"finished 8 iterations; the run is in {run.path}"
    assert re.fullmatch(r"runs/probe_matching-clip_happo-\d{8}-\d{6}", str(run.path)) and run.path.is_dir()


def test_numbers_are_shortened():
    assert [short(number) for number in (7, 999, 1234, 56_789, 1.5e6, 2e9)] == [
        "7",
        "999",
        "1.23k",
        "56.8k",
        "1.5M",
        "2G",
    ]


def test_what_a_run_leaves(finished, settings):
    there = {path.name for path in finished.path.iterdir()} - {".lock"}
    files = {"settings.json", "environment.json", "metrics.nc", "timing.json", "progress.json"}
    assert there == files | {"checkpoints", "metrics"}
    assert [path.name for path in sorted((finished.path / "checkpoints").iterdir())] == ["000000004", "000000008"]
    environment = finished.directory.environment
    assert environment["command"] == "ltro train ..." and environment["packages"]["jax"] == jax.__version__
    assert Config.stored(finished.directory.settings) == settings == load_run(finished.path).config


def test_metrics_open_in_one_line(finished):
    dataset = xr.open_dataset(finished.path / "metrics.nc")
    with dataset:
        assert dict(dataset.sizes) == {"member": 2, "iteration": 8, "position": 2, "agent": 2}
        assert dataset["iteration"].values.tolist() == list(range(1, 9))
        assert dataset["env_steps"].values.tolist() == [32 * iteration for iteration in range(1, 9)]
        assert dataset["seed"].values.tolist() == [3, 7] and dataset["position"].values.tolist() == [0, 1]
        assert [str(name) for name in dataset["agent"].values] == ["agent_0", "agent_1"]
        assert dataset.attrs["task"] == "probe/matching" and dataset.attrs["algorithm"] == "clip_happo"
        assert dataset.attrs["team_reward"] == "shared"
        assert dataset["episode_return"].dims == ("member", "iteration")
        assert dataset["adv_variance_used"].dims == ("member", "iteration", "position")
        assert dataset["entropy"].dims == ("member", "iteration", "agent")
        evaluated = np.isfinite(dataset["eval_return_greedy"].values)
        assert evaluated.tolist() == [[False, True] * 4] * 2
        names = [str(name) for name in dataset.data_vars if not str(name).startswith("eval_")]
        assert all(np.isfinite(dataset[name]).all() for name in names)
        assert dataset["finite"].all()
        order = np.sort(dataset["agent_order"].values, axis=-1)
        np.testing.assert_array_equal(order, np.broadcast_to([0, 1], (2, 8, 2)))
    assert finished.metrics["env_steps"].dtype == np.int64 and finished.metrics["finite"].dtype == bool


def test_an_existing_directory_is_refused(finished, settings, tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (finished.path, tmp_path):
        before = sorted(path.rglob("*"))
        with pytest.raises(RunError) as error:
            train(settings, path, progress=False)
        assert f"{path} already exists; resume it with `ltro resume {path}` or choose another --out" in str(error.value)
        assert sorted(path.rglob("*")) == before


@pytest.mark.parametrize("change", [{"algorithm": "ppo"}, {"task": "probe/none"}, {"std_x_coef": 2.0}])
def test_bad_settings_write_nothing(settings, tmp_path, change):
    with pytest.raises(SettingsError):
        train(settings.replace(**change), tmp_path / "deep" / "run", progress=False)
    assert not any(tmp_path.iterdir())


@pytest.fixture
def fresh_cache(monkeypatch, compilation_cache):
    """JAX as in a new process that keeps everything it compiles, once it knows where."""
    monkeypatch.delenv("LTRO_COMPILATION_CACHE")
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax_cache.reset_cache()
    yield
    jax.config.update("jax_compilation_cache_dir", compilation_cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax_cache.reset_cache()


def compile_something(number: float) -> None:
    jax.jit(lambda x: jnp.sin(x) * number)(jnp.ones(3)).block_until_ready()


@pytest.mark.parametrize("how", ["argument", "variable", "default"])
def test_the_compilation_cache_is_on(how, tmp_path, monkeypatch, fresh_cache):
    compile_something(0.5)  # the cache works although something was compiled before
    directory = tmp_path / "kept"
    if how == "variable":
        monkeypatch.setenv("LTRO_COMPILATION_CACHE", str(directory))
    if how == "default":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        directory = tmp_path / "ltro_jax" / "xla"
    assert use_compilation_cache(str(directory) if how == "argument" else None) == directory
    compile_something(1.5)
    assert any(directory.iterdir())


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_the_compilation_cache_is_off(how, tmp_path, monkeypatch, fresh_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if how == "variable":
        monkeypatch.setenv("LTRO_COMPILATION_CACHE", "off")
    assert use_compilation_cache("off" if how == "argument" else None) is None
    compile_something(2.5)
    assert not any(tmp_path.iterdir())


def test_a_cache_that_jax_has_is_kept(tmp_path, monkeypatch, fresh_cache):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    assert use_compilation_cache() == Path(tmp_path / "jax")
    assert os.fspath(tmp_path / "jax") == jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]


def test_progress_is_not_written_through_a_link(tmp_path):
    """The link is replaced, and what a kill has left in between goes."""
    target, file = tmp_path / "mine", tmp_path / "run" / "progress.json"
    target.write_text("keep")
    file.parent.mkdir()
    file.symlink_to(target)
    (file.parent / ".progress.json.1.tmp").write_text("{")
    Progress(False, 8, 32, 2, file).began(2)
    assert target.read_text() == "keep" and not file.is_symlink() and json.loads(file.read_text())["iteration"] == 2
    assert list(file.parent.iterdir()) == [file]


def test_progress_as_json(settings, capsys, tmp_path):
    """Each line is an object, with null where there is no number; the latest is kept in the file."""
    progress = Progress("json", 8, 32, 2, tmp_path / "progress.json")
    progress.say("hello")
    progress.began(2)
    progress.advanced(4, 2, 0.5, made_up(settings, 3, 2))
    progress.advanced(8, 4, 0.5, made_up(settings, 5, 4, frozen=1))
    message, first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert message == {"event": "message", "text": "hello"}
    assert first["event"] == "progress" and first["iteration"] == 4 and first["env_steps"] == 128
    assert first["steps_per_second"] == 256 and first["seconds_left"] == 1.0 and first["frozen"] == 0
    assert last["seconds_left"] == 0 and last["frozen"] == 1 and last["num_iterations"] == 8
    assert json.loads((tmp_path / "progress.json").read_text()) == last
    rows = made_up(settings, 1, 8)
    Progress("json", 8, 32, 2).advanced(8, 8, 1.0, rows.assign(episode_return=rows["episode_return"] * np.nan))
    assert json.loads(capsys.readouterr().out)["episode_return"] is None
