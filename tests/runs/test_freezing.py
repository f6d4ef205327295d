"""A member that becomes non-finite is frozen at its last finite state, named everywhere, and nobody else notices."""

import shutil
from typing import Any

import jax
import numpy as np
import pytest
from comparing import assert_same_bits, assert_same_run, differing_leaves

from ltro_jax import Run, resume, train
from ltro_jax.cli import main
from ltro_jax.runs.sweep import Sweep
from ltro_jax.runs.sweep_results import member_rows, summary

OVERFLOWS = "2e+18"  # a learning rate after whose second iteration the sum of squares in LayerNorm does


@pytest.fixture(scope="module")
def train_three(tiny, tmp_path_factory):
    """Trains three members, all with a learning rate of their own; every iteration is a checkpoint."""

    def run(middle: str) -> Run:
        every = {"eval_interval": 1, "checkpoint_interval": 1, "keep_checkpoints": 9, "total_env_steps": 5 * 32}
        config = tiny(seeds=(3,), grid=f"actor_lr=0.01,{middle},0.001", **every)
        return train(config, tmp_path_factory.mktemp("three") / "run", progress=False)

    return run


@pytest.fixture(scope="module")
def ill(train_three):
    """The second of the three overflows; not to be changed."""
    return train_three(OVERFLOWS)


@pytest.fixture(scope="module")
def iteration(ill) -> int:
    """At which it does."""
    return int(ill.restore().state.failed_at[1])


def members(tree: Any, *which: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[np.array(which)], tree)


def test_it_stays_at_its_last_finite_state(ill, iteration):
    last, final = (members(ill.restore(at).state, 1) for at in (iteration - 1, 5))
    assert 2 <= iteration < 5
    assert differing_leaves(last, final) == [".iteration", ".failed_at"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((final.agents.params, final.critic.params)))


def test_the_others_go_on_unchanged(ill, train_three):
    well = train_three("0.005")
    assert well.restore().state.failed_at.tolist() == [-1] * 3
    assert_same_bits(members(ill.restore().state, 0, 2), members(well.restore().state, 0, 2))
    assert ill.metrics.isel(member=[0, 2]).identical(well.metrics.isel(member=[0, 2]))


def test_metrics_are_missing_from_there_on(ill, iteration):
    finite = ill.metrics["finite"].values
    assert finite[[0, 2]].all() and finite[1].tolist() == [at < iteration for at in range(1, 6)]
    for name in ("episode_return", "value_loss", "eval_return_greedy", "adv_variance_used", "entropy"):
        known = ~np.isnan(ill.metrics[name].values[1]).reshape(5, -1).any(1)
        assert known[iteration - 1 :].tolist() == [False] * (6 - iteration), name


def test_tables_name_the_iteration(ill, iteration, tmp_path, capsys):
    path = shutil.copytree(ill.path, tmp_path / "run")
    assert main(["eval", str(path), "--episodes", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if "frozen" in line]
    assert len(marked) == 1 and marked[0].lstrip().startswith("actor_lr=2e+18 seed 3")
    assert marked[0].endswith(f"  frozen at iteration {iteration} (non-finite)")
    greedy = [float(line.split()[-2]) for line in (lines[2], lines[4], lines[5])]
    assert greedy[2] == pytest.approx(np.mean(greedy[:2]), abs=0.01)  # the mean is that of the healthy
    rows = member_rows(Sweep(ill.path.parent, {ill.path.name: ill.config}))
    assert [row["frozen_at"] for row in rows] == [-1, iteration, -1] and np.isnan(rows[1]["score"])
    (frozen,) = (row for row in summary(rows) if row["frozen"])
    assert frozen["point"] == "actor_lr=2e+18" and frozen["seeds"] == 0
    assert main(["plot", str(path)]) == 0


def test_it_stays_frozen_when_resumed(ill, iteration, tmp_path, capsys):
    path = shutil.copytree(ill.path, tmp_path / "run")
    for later in range(iteration + 1, 6):
        shutil.rmtree(path / "checkpoints" / f"{later:09d}")
    assert_same_run(resume(path), ill)
    output = capsys.readouterr().out
    assert f"became non-finite and were frozen: actor_lr=2e+18 seed 3 (iteration {iteration}); try " in output
