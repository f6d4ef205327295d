"""`ltro sweep`: trains, ranks, resumes, forecasts, rejects."""

import csv

import pytest

from ltro_jax.cli import main
from ltro_jax.cli.sweep import parse_grid_words

pytestmark = pytest.mark.usefixtures("shared_programs")

SIZES = ["--num_envs=4", "--rollout_length=8", "--hidden_sizes=8", "--total_env_steps=64", "--eval_episodes=2"]
GRID = ["--grid", "actor_lr=1e-3,1e-2", "agent_order=random,fixed"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two learning rates × two orders × two seeds on the matching game."""
    path = tmp_path_factory.mktemp("sweeps") / "sweep"
    assert main(["sweep", "probe/matching", *GRID, "--seeds=0:2", *SIZES, "--out", str(path), "--quiet"]) == 0
    return path


def test_tables_of_all_members(swept):
    with open(swept / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["part"], row["actor_lr"], row["seed"]) for row in rows] == [
        (f"agent_order={order}", lr, seed) for order in ("random", "fixed") for lr in ("0.001", "0.01") for seed in "01"
    ]
    assert "| part | point | seeds | frozen | score (IQM) |" in (swept / "summary.md").read_text()


def test_resume_and_the_same_command_find_it_finished(swept, capsys):
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("*.npz")}
    assert main(["resume", str(swept)]) == 0
    said = capsys.readouterr().out
    assert "[2/2] agent_order=fixed" in said and "is finished: 2 iterations" in said and "| actor_lr=0.01 |" in said
    assert main(["sweep", "probe/matching", *GRID, "--seeds=0:2", *SIZES, "--out", str(swept), "--quiet"]) == 0
    assert {path: path.stat().st_mtime_ns for path in swept.rglob("*.npz")} == before


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "probe/matching", "--grid", "actor_lr=1e-3,1e-2", "--seeds=0:3", *SIZES, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("all: 6 members, 2 iterations of 32 env steps\n")
    assert "6 groups of 1 on each" in said and "MiB for a member" in said and "in all, at most" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--grid", "seeds=1,2"], "grid = seeds=… cannot be swept"),
        (["--grid", "actor_lr"], "grid = 'actor_lr' is not a name with values"),
        (["--grid", "actor_lr=1", "actor-lr=2"], "grid = 'actor-lr=2' names actor_lr twice"),
        (["--grid", "actor_lr=big"], "grid = "),
        (["--grid", "actor_lr=1e-3,,1e-2"], "grid = 'actor_lr=1e-3,,1e-2' is not a name with values"),
        (["--grid", "gamma=0.99999999,1"], "grid = gamma=0.99999999,1 repeats a value"),
        (["--dry-run", "--algorithm=hatrpo", "--grid", "actor_lr=1,2"], "grid = actor_lr=… has no meaning with algor"),
        (
            ["--metric", "nothing", "--grid", "actor_lr=1e-3,1e-2", "agent_order=random,fixed"],
            "metric = 'nothing' is unknown",
        ),
    ],
)
def test_refusals(swept, arguments, sentence, capsys):
    assert main(["sweep", "probe/matching", *arguments, "--seeds=0:2", *SIZES, "--out", str(swept), "--quiet"]) == 2
    assert capsys.readouterr().err.startswith(f"ltro: {sentence}")


def test_a_score_that_will_not_be_recorded_is_refused_before_training(tmp_path, capsys):
    """A metric of agents is none, and without evaluations there is no evaluation."""
    for metric, *more in (["eval_return_gredy"], ["entropy"], ["eval_return_greedy", "--eval_episodes=0"]):
        command = [
            "sweep",
            "probe/matching",
            *GRID,
            *SIZES[:-1],
            *(more or SIZES[-1:]),
            "--metric",
            metric,
            "--out",
            str(tmp_path / "sweep"),
        ]
        assert main(command) == 2
        sentence = capsys.readouterr().err
        assert sentence.startswith(f"ltro: metric = {metric!r} is unknown; ") and "episode_return" in sentence
        assert ("did you mean eval_return_greedy" in sentence) == (metric == "eval_return_gredy")
    assert not any(tmp_path.iterdir())


def test_values_with_commas_are_parted_by_semicolons():
    words = ["actor_lr=3e-4,5e-4", "hidden-sizes=64,64;128,128", "gamma=0.9"]
    assert parse_grid_words(words) == {
        "actor_lr": ["3e-4", "5e-4"],
        "hidden_sizes": ["64,64", "128,128"],
        "gamma": ["0.9"],
    }
