"""Exports: every number is there once, in the form that its readers want."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from stored import made_up, stored_run

from ltro_jax import RunError, RunWarning, SettingsError, load_run
from ltro_jax.export.metrics import export_runs, marl_eval, tidy
from ltro_jax.runs.scoring import absolute_metrics

KEY = ["run", "seed", "actor_lr", "iteration", "metric", "axis", "index"]


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """One of two points and one without a grid, whose second seed was frozen at the end."""
    path = tmp_path_factory.mktemp("runs")
    grid = tiny(seeds=(3, 7), grid="actor_lr=0.001,0.1", task="probe/climbing")
    plain = tiny(seeds=(3, 7), algorithm="happo")
    one = stored_run(path / "one", grid, made_up(grid, 1, 2), made_up(grid, 3, 2))
    other = stored_run(path / "other", plain, made_up(plain, 1, 2), made_up(plain, 3, 2, frozen=1))
    return [load_run(one.path), load_run(other.path)]


def test_a_row_for_each_number(runs):
    table = tidy(runs)
    assert list(table.columns) == [
        *("run", "task", "algorithm", "point", "actor_lr", "seed"),
        *("iteration", "env_steps", "metric", "axis", "index", "value"),
    ]
    assert not np.any(table.duplicated(KEY)) and not np.any(table["value"].isna())
    expected = sum(int(run.metrics[name].notnull().sum()) for run in runs for name in run.metrics.data_vars)
    assert len(table) == expected
    one = runs[0].metrics
    chosen = table[(table["metric"] == "entropy") & (table["index"] == 1) & (table["actor_lr"] == 0.1)]
    assert chosen["seed"].tolist() == [3] * 4 + [7] * 4 and chosen["env_steps"].tolist() == [32, 64, 96, 128] * 2
    np.testing.assert_array_equal(chosen["value"], one["entropy"].values[2:, :, 1].reshape(-1))
    assert set(chosen["point"]) == {"actor_lr=0.1"} and set(chosen["axis"]) == {"agent"}
    frozen = table[(table["algorithm"] == "happo") & (table["seed"] == 7) & (table["metric"] == "episode_return")]
    assert frozen["iteration"].tolist() == [1, 2]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_read_back(runs, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    file = export_runs(runs, form, tmp_path / "deep" / f"table.{form}", ["entropy", "position/adv_variance_used/0"])
    table = pd.read_csv(file, dtype={"index": "Int64"}) if form == "csv" else pd.read_parquet(file)
    wanted = tidy(runs, ["entropy", "position/adv_variance_used/0"])
    assert set(table["metric"]) == {"entropy", "adv_variance_used"} and len(table) == len(wanted)
    np.testing.assert_array_equal(table["value"].astype(np.float32), wanted["value"].astype(np.float32))
    assert table["index"].tolist() == wanted["index"].tolist()


@pytest.fixture
def absolute(monkeypatch) -> np.ndarray:
    """What the best policies of the four members are said to do when they are evaluated again."""
    values = np.array([0.25, 0.5, 0.75, 1.0])
    found = {"eval_return_greedy": values, "eval_length_greedy": 0 * values}
    monkeypatch.setattr("ltro_jax.export.metrics.absolute_metrics", lambda run, kinds: found)
    return values


def test_marl_eval_by_its_schema(runs, tmp_path, absolute):
    (steps,) = (json.loads(export_runs(runs[:1], "marl-eval", tmp_path / "m.json").read_text())["probe"]["climbing"],)
    assert list(steps) == ["clip_happo actor_lr=0.001", "clip_happo actor_lr=0.1"]
    metrics = runs[0].metrics.isel(member=3)
    seed = steps["clip_happo actor_lr=0.1"]["seed_1"]  # by position, not by the seed
    assert list(seed) == ["step_0", "step_1", "absolute_metrics"]  # the last one last
    returns = metrics["eval_return_greedy"].values[[1, 3]].tolist()
    assert [seed["step_0"], seed["step_1"]] == [
        {"step_count": steps, "return": [value]} for steps, value in zip((64, 128), returns, strict=True)
    ]
    assert seed["absolute_metrics"] == {"return": [1.0]} and max(returns) != 1.0
    twice = marl_eval([runs[0], load_run(runs[0].path)])["probe"]["climbing"]
    assert len(twice) == 2 and all("clip_happo actor_lr=" in name for name in twice)


def test_absolute_metrics_are_of_new_episodes_or_left_out(finished, runs, tmp_path):
    """Never the highest evaluation of training: it was chosen for being high."""
    path = shutil.copytree(finished.path, tmp_path / "run")
    run = load_run(path)
    (seeds,) = marl_eval([run])["probe"]["matching"].values()
    again = run.evaluate(10 * run.config.static.eval_episodes, best=True, kinds=("greedy",))
    assert [seeds[f"seed_{position}"]["absolute_metrics"]["return"] for position in (0, 1)] == [
        [value] for value in again["eval_return_greedy"].values.tolist()
    ]
    kept = {"actors": "best", "episodes": 40, "iteration": 8, "seed": [3, 7], "eval_return_greedy": [5.0, 6.0]}
    run.directory.write_json("evaluation_best.json", kept)
    assert absolute_metrics(run, ("greedy",), members=[1])["eval_return_greedy"].tolist() == [6.0]
    for other in ({"episodes": 39}, {"iteration": 4}, {"actors": "newest"}, {"seed": [3]}):
        run.directory.write_json("evaluation_best.json", kept | other)
        found = absolute_metrics(run, ("greedy",))["eval_return_greedy"]
        np.testing.assert_array_equal(found, again["eval_return_greedy"])
    with pytest.warns(RunWarning, match=r"absolute_metrics of .* are left out, .*: no usable checkpoint in") as warned:
        content = marl_eval(runs[:1])["probe"]["climbing"]
    assert len(warned) == 1
    assert not any("absolute_metrics" in seed for seeds in content.values() for seed in seeds.values())


def test_marl_eval_finds_the_first_algorithms_names_in_all(tiny, tmp_path, absolute):
    """It looks the runs and steps of the first algorithm up in all; a last evaluation after 5 iterations is no step."""
    settings = {"task": "probe/climbing", "eval_interval": 2}
    configs = [tiny(seeds=(3, 7), **settings), tiny(seeds=(11, 5), algorithm="happo", **settings)]
    lengths = [(2, 2, 1), (2, 2)]
    runs = []
    for config, counts in zip(configs, lengths, strict=True):
        chunks = [made_up(config, 1 + sum(counts[:k]), count) for k, count in enumerate(counts)]
        runs.append(load_run(stored_run(tmp_path / config.static.algorithm, config, *chunks).path))
    sentence = (
        r"the last evaluation of .*clip_happo, after iteration 5, is left out: marl-eval needs one evaluation every 2 "
    )
    with pytest.warns(RunWarning, match=sentence) as warned:
        algorithms = marl_eval(runs)["probe"]["climbing"]
    assert len(warned) == 1 and list(algorithms) == ["clip_happo", "happo"]
    first = algorithms["clip_happo"]
    assert list(first) == ["seed_0", "seed_1"]
    assert list(first["seed_0"]) == ["step_0", "step_1", "absolute_metrics"]
    for run, steps in first.items():
        for step, metrics in steps.items():
            found = [algorithm[run][step] for algorithm in algorithms.values()]
            assert all(list(other) == list(metrics) for other in found)
            assert {other.get("step_count") for other in found} == {metrics.get("step_count")}
    assert [first["seed_1"][step]["step_count"] for step in ("step_0", "step_1")] == [64, 128]
    assert first["seed_1"]["step_0"]["return"] == [float(runs[0].metrics["eval_return_greedy"][1, 1])]

    shorter = stored_run(tmp_path / "shorter", configs[1], made_up(configs[1], 1, 2))
    with pytest.raises(RunError, match=r"shorter is evaluated 1 times, at 64 to 64 steps but .* needs the same steps"):
        marl_eval([runs[1], load_run(shorter.path)])
    fewer = tiny(seeds=(3,), algorithm="happo", **settings)
    few = stored_run(tmp_path / "few", fewer, *(made_up(fewer, first, 2) for first in (1, 3)))
    with pytest.warns(RunWarning), pytest.raises(RunError, match=r"equally many seeds .* \(clip_happo: 2, happo: 1\)"):
        marl_eval([runs[0], load_run(few.path)])


def test_marl_eval_reads_it(runs, absolute):
    """Its own pipeline, up to the matrices that rliable takes."""
    processing = pytest.importorskip("marl_eval.utils.data_processing_utils")
    processed = processing.data_process_pipeline(marl_eval(runs[:1]), ["return"])
    assert processed["extra"]["number_of_steps"] == 2 and processed["extra"]["number_of_runs"] == 2
    metrics, curves = processing.create_matrices_for_rliable(processed, "probe", ["return"])
    assert metrics["mean_norm_return"]["clip_happo actor_lr=0.1"].shape == (2, 1)
    assert curves["mean_norm_return"]["clip_happo actor_lr=0.1"].shape == (2, 1, 2)


def test_netcdf_is_the_dataset_of_one_run(runs, tmp_path):
    """Also of some metrics, each with all its positions or agents, and of a run that is not finished."""
    for metrics in ((), ("entropy", "episode_return")):
        file = export_runs(runs[1:], "netcdf", tmp_path / "new" / "metrics.nc", metrics)
        with xr.open_dataset(file) as opened:
            whole = runs[1].metrics
            expected = whole[list(metrics)].assign_coords(whole.coords) if metrics else whole
            xr.testing.assert_identical(opened.load(), expected)
    with pytest.raises(SettingsError, match=r"netcdf takes one run, not 2; export each run to a separate file"):
        export_runs(runs, "netcdf", tmp_path / "both.nc")
    with pytest.raises(SettingsError, match="metric = 'entrpy' is unknown; did you mean entropy"):
        export_runs(runs[1:], "netcdf", tmp_path / "both.nc", ["entrpy"])
    with pytest.raises(RunError, match="cannot write"):
        export_runs(runs[1:], "netcdf", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_is_refused(runs, tmp_path, tiny, monkeypatch):
    output = tmp_path / "table"
    with pytest.raises(RunError, match=r"seed 7 of .* became non-finite, which marl-eval cannot represent"):
        export_runs(runs, "marl-eval", output)
    with pytest.raises(SettingsError, match="metric = 'entrpy' is unknown; did you mean entropy"):
        export_runs(runs, "csv", output, ["entrpy"])
    with pytest.raises(RunError, match="has no greedy evaluation to export"):
        export_runs(runs[:1], "marl-eval", output, ["entropy"])
    empty = stored_run(tmp_path / "empty", tiny())
    with pytest.raises(RunError, match="holds no metrics; train the run first"):
        export_runs([load_run(empty.path)], "csv", output)
    with pytest.raises(RunError, match=r"cannot write .*; choose another file with -o"):
        export_runs(runs, "csv", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"format = parquet needs the extra 'export', .* or choose csv"):
        export_runs(runs, "parquet", output)
    assert not output.exists()
