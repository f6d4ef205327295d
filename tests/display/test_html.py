"""Objects as HTML: the page is parsed and its values are compared."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from parsed import page_of
from stored import made_up, stored_run

from ltro_jax import load_policy, load_preset, load_run, load_sweep
from ltro_jax.config import Config, Static
from ltro_jax.display.curve import MAX_POINTS, curve_svg, joined, make_curve, member_bands
from ltro_jax.display.html import bar, card, paragraph, table
from ltro_jax.envs import EnvSpec, make_env
from ltro_jax.storage import MetricStore, save_checkpoint
from ltro_jax.storage.run_directory import FORMAT_VERSION, RunDirectory


def test_every_text_is_escaped():
    evil = '<img src=x onerror="1">&'
    page = page_of(card(evil, paragraph(evil), table((evil,), [(evil,)]), badge=evil))
    assert page.words.count(evil) == 5
    assert not page.all("img")
    label = page_of(curve_svg([make_curve(evil, np.arange(2), np.ones((1, 2)))], evil)).all("svg")[0]["aria-label"]
    assert label.startswith(evil)


def test_a_bar_and_a_long_table():
    assert page_of(bar(0.25)).all("div")[0]["aria-valuenow"] == "25"
    assert page_of(bar(7.0)).all("div")[0]["aria-valuenow"] == "100"
    page = page_of(table(("n",), [(n,) for n in range(40)]))
    assert [row[0] for row in page.rows] == ["n", *map(str, range(30))] and page.words[-1] == "… and 10 more"


def test_a_curve_is_the_iqm_over_healthy_members():
    values = np.array([[1.0, np.nan, 5.0], [2.0, np.nan, np.nan], [9.0, np.nan, 7.0]])
    curve = make_curve("a", np.array([10, 20, 30]), values)
    assert curve.steps.tolist() == [10, 30] and curve.middle.tolist() == [4.0, 6.0]
    assert curve.low.tolist() == [1.5, 5.5] and curve.high.tolist() == [5.5, 6.5]
    assert np.isnan(member_bands(np.array([[np.nan, np.inf]]))).all()
    long = make_curve("a", np.arange(1000), np.arange(2000.0).reshape(2, 1000))
    assert len(long.steps) == MAX_POINTS and long.steps[[0, -1]].tolist() == [0, 999]
    assert joined(curve, curve).low.tolist() == [1.5, 5.5, 1.5, 5.5]
    assert curve_svg([make_curve("a", np.ones(1), np.ones((2, 1)))], "x") == ""  # one point


def test_a_curve_is_drawn_to_scale():
    low = make_curve("low", np.array([0, 50, 100]), np.array([[0.0, 5.0, 10.0]]))
    page = page_of(curve_svg([low, low._replace(name="high")], "episode return"))
    first = [tuple(map(float, point.split(","))) for point in page.all("polyline")[0]["points"].split()]
    (left, bottom), (middle, half), (right, top) = first
    assert middle == pytest.approx((left + right) / 2) and half == pytest.approx((top + bottom) / 2) and top < bottom
    assert {"low", "high", "10", "0", "100 env steps", "episode return, IQM and quartiles"} <= {*page.words}
    assert "the last value is 10" in page.all("svg")[0]["aria-label"]


def test_a_config_shows_what_differs_from_its_preset():
    config = load_preset("mpe/simple_spread", seeds="0:4", num_envs=40)
    page = page_of(config)
    assert page.words[0] == "Config: clip_happo on mpe/simple_spread"
    assert ["members", "4 seeds"] in page.rows
    assert ["iterations", f"{config.num_iterations:,} × 8,000 env steps of each member"] in page.rows
    start = page.rows.index(["setting", "value", "preset"])
    assert page.rows[start + 1 : start + 3] == [["num_envs", "40", "20"], ["seeds", "0,1,2,3", "0"]]
    every = page.rows[page.rows.index(["setting", "value", "meaning"]) + 1 :]
    assert [row[0] for row in every] == list(config.to_dict())
    # The same of a run on disk, which does not know what was given; without a preset the defaults count.
    assert Config.stored(config.to_dict())._repr_html_() == config._repr_html_()
    assert "Every setting has its preset value." in page_of(load_preset("mpe/simple_spread")).words
    rows = page_of(Config.stored({"task": "probe/matching", "grid": {"actor_lr": [1e-3, 2e-3], "gamma": [0.9]}})).rows
    assert ["grid", "actor_lr=0.001,0.002 gamma=0.9", ""] in rows
    assert ["members", "1 seed × 2 points"] in rows and ["setting", "value", "default"] in rows


def test_an_environment_shows_its_agents():
    spec = EnvSpec("a/<b>", ("ann", "bob", "cat"), (4, 4, 6), (2, 2, 3), True, 9, 25, "sum", winnable=True)
    page = page_of(spec)
    assert page.words[0] == "EnvSpec: a/<b>, 3 agents"
    assert ["episode", "at most 25 steps"] in page.rows and ["team reward", "sum over 3 agents"] in page.rows
    assert ["2", "ann, bob", "4 numbers", "2 discrete actions"] in page.rows
    assert ["1", "cat", "6 numbers", "3 discrete actions"] in page.rows
    assert not [row for row in page.rows if row[0] == "options"]
    options = [row[1] for row in page_of(make_env(Static(task="mpe/simple_spread")).spec).rows if row[0] == "options"]
    assert options == ["num_agents, continuous_actions, team_reward, physics"]
    many = EnvSpec("a/b", tuple(f"a{n}" for n in range(100)), (4,) * 100, (2,) * 100, False, 9, 25, "shared")
    assert ["100", "a0, a1, a2, a3, a4, a5, a6, …, a99", "4 numbers", "2 continuous dimensions"] in page_of(many).rows


def test_a_run_shows_its_state_score_and_curve(tiny, tmp_path, monkeypatch):
    config = tiny(seeds=(3, 7))
    chunks = [made_up(config, 1, 2), made_up(config, 3, 2, frozen=1)]
    directory = stored_run(tmp_path / "a<b", config, *chunks)
    save_checkpoint(directory.checkpoints, 4, {"anything": np.zeros(2)}, keep=1)
    run = load_run(directory.path)
    page = page_of(run)
    assert page.words[:2] == ["Run: clip_happo on probe/matching", "stopped"]
    assert ["path", str(directory.path)] in page.rows and ["members", "2 seeds"] in page.rows
    assert ["iterations", "4 of 8"] in page.rows and ["env steps of each member", "128 of 256"] in page.rows
    assert ["frozen (non-finite)", "1 of 2 members"] in page.rows
    score = float(chunks[1]["eval_return_greedy"].values[0, -1])
    assert ["greedy evaluation return", f"{score:.4g}"] in page.rows
    (percent,) = (tag["aria-valuenow"] for tag in page.all("div") if "aria-valuenow" in tag)
    assert percent == "50" and len(page.all("polyline")) == 1
    assert ["num_envs", "4", "20"] in page.rows
    assert run.metrics is not None and run._repr_html_() == load_run(directory.path)._repr_html_()
    with directory.lock():
        assert page_of(run).words[1] == "running"


def test_a_run_without_metrics_and_a_damaged_one(tiny, tmp_path):
    directory = stored_run(tmp_path / "run", tiny(), made_up(tiny(), 1, 2))
    (segment,) = MetricStore(directory.metrics).path.glob("*.nc")
    segment.write_bytes(b"damaged")
    page = page_of(load_run(directory.path))
    assert page.words[1] == "unreadable" and any("is damaged" in word for word in page.words)
    segment.unlink()
    page = page_of(load_run(directory.path))
    assert ["iterations", "0 of 8"] in page.rows and not page.all("svg")


def test_a_sweep_shows_points_and_members_ranked(tiny, tmp_path):
    config = tiny(seeds=(3, 7), grid={"actor_lr": [1e-3, 1e-2]})
    rows = made_up(config, 1, 2, frozen=3)
    scores = np.array([1.0, 2.0, 5.0, np.nan])
    rows["eval_return_greedy"].values[:, -1] = scores
    path = tmp_path / "sweep"
    path.mkdir()
    other = tiny(num_envs=8)
    parts = {"all": config.to_dict(), "waiting": other.to_dict()}
    RunDirectory(path).write_json("sweep.json", {"format_version": FORMAT_VERSION, "command": None, "parts": parts})
    stored_run(path / "all", config, rows)
    page = page_of(load_sweep(path))
    assert page.words[:2] == ["Sweep: 2 parts", "unfinished"] and ["parts", "0 of 2 finished"] in page.rows
    start = page.rows.index(["rank", "part", "point", "seeds", "frozen", "score (IQM)", "95 % interval"])
    first, second = page.rows[start + 1 : start + 3]
    assert first == ["1", "all", "actor_lr=0.01", "1", "1", "5", "–"]
    assert second[:6] == ["2", "all", "actor_lr=0.001", "2", "0", "1.5"] and second[6] == "[1, 2]"
    members = page.rows[page.rows.index(["rank", "part", "point", "seed", "score"]) + 1 :]
    assert [row[3:] for row in members] == [["3", "5"], ["7", "2"], ["3", "1"], ["7", "frozen at iteration 1"]]


def test_a_policy_shows_its_network_and_return(finished, tmp_path):
    policy = load_policy(finished.path, seed=7)
    page = page_of(policy)
    assert page.words[0] == "Policy: clip_happo on probe/matching"
    assert ["network", "8, with LayerNorm, one for each agent"] in page.rows
    assert ["agents", "2: agent_0, agent_1"] in page.rows and ["member", "seed 7"] in page.rows
    expected = float(finished.metrics["eval_return_greedy"].values[1, -1])
    assert ["iteration", "8"] in page.rows and ["greedy return", f"{expected:.4g}"] in page.rows
    assert pickle.loads(pickle.dumps(policy))._repr_html_() == policy._repr_html_()
    best = page_of(load_policy(finished.path, best=True))
    assert not any(row[0].endswith("return") for row in best.rows)  # the evaluation that chose it is no score


def test_shown_paths_are_those_that_were_given(finished, monkeypatch):
    monkeypatch.chdir(finished.path.parent)
    assert ["path", "finished"] in page_of(load_run(Path("finished"))).rows
