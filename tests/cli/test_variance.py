"""`ltro variance`: trains or reads runs, and writes all files or none."""

import csv

import pytest
import xarray as xr

from ltro_jax import load_run
from ltro_jax.algorithms.factor_rules import FACTOR_RULES
from ltro_jax.cli import main
from ltro_jax.storage import MetricStore

SIZES = ["--num_envs=4", "--rollout_length=8", "--hidden_sizes=8", "--total_env_steps=96", "--eval_episodes=0"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """clip_happo on the matching game with two and three agents, two seeds."""
    path = tmp_path_factory.mktemp("studies") / "study"
    arguments = ["probe/matching", "--algorithms", "clip_happo", "--agents", "2", "3", "--seeds=0:2", "--quiet"]
    assert main(["variance", *arguments, *SIZES, "-o", str(path)]) == 0
    return path


def test_it_trains_and_writes_plots_tables_and_datasets(study):
    runs = [study / "runs" / f"probe_matching-clip_happo-N={number}" for number in (2, 3)]
    assert all(load_run(run).finished for run in runs)
    with open(study / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [("2", "1"), ("2", "2"), ("3", "1"), ("3", "2"), ("3", "3")]
    assert [(row["agents"], row["position"]) for row in rows] == expected
    assert all(float(row["adv_variance_raw_low"]) <= float(row["adv_variance_raw"]) for row in rows)
    assert "| agents of probe/matching | clip_happo: raw |" in (study / "table.md").read_text()
    for name in ("variance_over_training", "variance_by_position"):
        for number in (2, 3):
            for suffix in ("png", "pdf"):
                assert (study / f"{name}-probe_matching-N{number}.{suffix}").exists()
    assert (study / "variance_by_agents-probe_matching.png").exists()
    dataset = xr.load_dataset(study / "datasets" / "probe_matching-clip_happo-N=3.nc")
    assert dict(dataset.sizes) == {"member": 2, "position": 3} and dataset["seed"].values.tolist() == [0, 1]


def test_it_reads_runs(study, tmp_path, capsys):
    run = str(study / "runs" / "probe_matching-clip_happo-N=3")
    capsys.readouterr()
    assert main(["variance", run, "-o", str(tmp_path / "read")]) == 0
    assert f"| {run} | 3 | 2 | 3 |" in capsys.readouterr().out
    assert not (tmp_path / "read" / "runs").exists()
    read, made = (xr.load_dataset(next((path / "datasets").glob("*N=3.nc"))) for path in (tmp_path / "read", study))
    xr.testing.assert_identical(read, made)


def test_controlled_measurement(study, tmp_path, capsys):
    run = str(study / "runs" / "probe_matching-clip_happo-N=3")
    measure = ["variance", run, "--controlled", "--situations=4", "--draws=500"]
    assert main([*measure, "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "# Controlled measurement" in printed and f"| {run} | 2 | used |" in printed
    with open(tmp_path / "out" / "controlled.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["agents_before"]) for row in rows] == [(s, m) for s in "01" for m in "0123"]
    assert float(rows[1]["exact"]) > 1.0 and float(rows[1]["raw_exact"]) > 0.0
    assert (tmp_path / "out" / "controlled.png").exists()
    with open(tmp_path / "out" / "controlled_rules.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["rule"] for row in rows} == set(FACTOR_RULES) and len(rows) == 2 * 17 * 3
    assert all(abs(float(row["bias"])) < 1e-12 for row in rows if row["rule"] == "none" and row["agents_before"] == "0")
    assert f"| {run} | 2 | clamp, c = 1 |" in printed
    assert main([*measure[:-1], "--draws=1", "-o", str(tmp_path / "none")]) == 2
    assert "4 situations, 1 draws and 1 updates are too few" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["RUN", "--agents", "2"], "settings apply only to tasks to train on; a finished run keeps its settings"),
        (["probe/nothing"], "task = 'probe/nothing' is unknown; did you mean "),
        (["probe/matching", "--seeds=3"], "seeds = 3 is one seed; an interval needs at least 2"),
        (["probe/matching", "--algorithms", "ppo"], "algorithm = 'ppo' is unknown"),
        (
            ["probe/matching", "--algorithms", "happo", "hatrpo", "--actor_lr=0.001"],
            "actor_lr = 0.001 has no meaning with algorithm = 'hatrpo'",
        ),
        (
            ["probe/matching", "--algorithms", "happo", "mappo", "--factor_clips", "2"],
            "factor_clip = 2.0 has no meaning with algorithm = 'mappo'",
        ),
        (["probe/matching", "--agents", "2", "2"], "probe/matching clip_happo N=2 would be trained twice"),
        (["probe/matching", "--draws", "9"], "--draws has no effect without --controlled"),
        (["RUN", "--algorithms", "happo"], "settings apply only to tasks to train on"),
    ],
)
def test_what_it_refuses_leaves_nothing(study, arguments, sentence, tmp_path, capsys):
    run = str(study / "runs" / "probe_matching-clip_happo-N=3")
    arguments = [run if argument == "RUN" else argument for argument in arguments]
    seeds = [] if run in arguments or "--seeds=3" in arguments else ["--seeds=0:2"]
    sizes = [] if run in arguments else SIZES
    assert main(["variance", *arguments, *seeds, *sizes, "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"ltro: {sentence}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda rows: rows.isel(member=[0]), "the run has one seed; an interval needs at least 2"),
        (lambda rows: rows.drop_vars("kl"), "the run lacks the metrics kl"),
    ],
)
def test_runs_that_cannot_be_measured_leave_nothing(study, change, sentence, tmp_path, capsys, monkeypatch):
    load = MetricStore.load
    monkeypatch.setattr(MetricStore, "load", lambda self: change(load(self)))
    run = str(study / "runs" / "probe_matching-clip_happo-N=3")
    assert main(["variance", run, "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"ltro: the variance of these runs cannot be measured: {sentence}\n"
    assert not (tmp_path / "out").exists()
