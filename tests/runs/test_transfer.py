"""Policies scored in PettingZoo: with a stand-in for the package, and runs and versions that are rejected."""

import importlib.metadata
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ltro_jax import Run, SettingsError, load_preset, train
from ltro_jax.cli import main
from ltro_jax.config import Config, Static
from ltro_jax.envs import make_env, pettingzoo
from ltro_jax.envs.pettingzoo import PettingZooBatch
from ltro_jax.runs.scoring import transfer_gap
from ltro_jax.runs.transfer import evaluate_in_pettingzoo

TASK = "mpe/simple_speaker_listener"


class StandIn:
    """Two agents; the speaker's reward is the seed of the episode, the listener's the largest action of both."""

    possible_agents = ("speaker_0", "listener_0")

    def __init__(self, max_cycles: int, continuous_actions: bool):
        self.length, self.continuous = max_cycles, continuous_actions

    def observe(self) -> dict[str, np.ndarray]:
        return {"speaker_0": np.full(3, 1.0), "listener_0": np.full(11, 2.0)}

    def reset(self, seed: int) -> dict[str, np.ndarray]:
        self.seed = seed
        return self.observe()

    def step(self, actions: dict[str, Any]) -> tuple[Any, ...]:
        assert [np.size(action) for action in actions.values()] == ([3, 5] if self.continuous else [1, 1])
        largest = max(float(np.max(action)) for action in actions.values())
        return self.observe(), {"speaker_0": float(self.seed), "listener_0": largest}, {}, {}, {}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    small = {"num_envs": 2, "rollout_length": 5, "total_env_steps": 10, "hidden_sizes": 8, "eval_episodes": 1}
    config = load_preset("mpe_paper/simple_speaker_listener", "mappo", seeds="3,7", **small)
    return train(config, tmp_path_factory.mktemp("runs") / "listener", progress=False)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(pettingzoo, "_module", lambda name: SimpleNamespace(parallel_env=StandIn))


def batch(count: int, **settings: Any) -> PettingZooBatch:
    static = Config.from_dict({"task": TASK, "physics": "pettingzoo", **settings}).static
    return PettingZooBatch(static, make_env(static).spec, count)


def test_a_batch_pads_clips_and_adds(stand_in):
    envs = batch(2)
    observation = envs.reset([5, 6])
    assert observation.shape == (2, 2, 11) and observation.dtype == np.float32
    assert observation[0].sum(-1).tolist() == [3.0, 22.0]
    action = np.array([[[0.2, 0.1, 0.0, 9.0, 9.0], [0.3, 0.0, 0.0, 0.0, -4.0]], [[7.0] * 5, [0.5] * 5]])
    _, reward = envs.step(action)  # the padding of the speaker has no effect
    np.testing.assert_allclose(reward, [5.3, 7.0], rtol=1e-6)
    envs = batch(1, continuous_actions=False, team_reward="mean", agent_id=True)
    assert envs.reset([4])[0, :, :2].tolist() == [[1, 0], [0, 1]]
    np.testing.assert_allclose(envs.step(np.array([[2, 4]]))[1], [4.0])


def test_scores_are_means_over_whole_episodes(run, stand_in, capsys):
    """Of 25 steps, in each of which the team has the seed and an action from 0 to 1."""
    result = evaluate_in_pettingzoo(run, 2)
    for index, seed in enumerate((3, 7)):
        seeds = np.random.default_rng(seed).integers(2**31, size=2)
        for kind in ("greedy", "sampled"):
            rest = result[f"eval_return_{kind}"].values[index] / 25 - seeds.mean()
            assert -1e-3 < rest < 1 + 1e-3
    assert result.attrs["environment"] == "PettingZoo 1.22" and result["frozen_at"].values.tolist() == [-1, -1]
    assert main(["eval", str(run.path), "--env", "pettingzoo", "--episodes", "2", "--actions", "greedy"]) == 0
    text = capsys.readouterr().out
    kept = json.loads((run.path / "evaluation_pettingzoo.json").read_text())
    assert kept["pettingzoo"]["eval_return_greedy"] == result["eval_return_greedy"].values.tolist()
    here, there = kept["summary"][0]["eval_return_greedy"]["iqm"], kept["pettingzoo"]["summary"][0]
    gap = there["eval_return_greedy"]["iqm"] - here
    assert kept["transfer_gap"] == [{"point": "", "eval_return_greedy": gap}]
    assert text.splitlines()[-1] == f"transfer gap (IQM in PettingZoo − IQM here): greedy {gap:+.2f}"
    assert not (run.path / "evaluation.json").exists()


def test_no_gap_without_members():
    none, one = ({"point": "", "eval_return_greedy": {"iqm": value}} for value in (None, 1.5))
    assert transfer_gap([none], [one], ["greedy"]) == [{"point": "", "eval_return_greedy": None}]


def test_runs_without_a_counterpart(stand_in):
    static = Static(task="probe/matching")
    with pytest.raises(SettingsError, match="env = 'pettingzoo' has no probe/matching; choose a run of one of mpe/"):
        PettingZooBatch(static, make_env(static).spec, 1)
    with pytest.raises(SettingsError, match="needs a run with physics = 'pettingzoo'; this one has 'jaxmarl'"):
        batch(1, physics="jaxmarl")


@pytest.mark.parametrize("version", [None, "1.24.3"])
def test_another_version_or_none(version, monkeypatch):
    def installed(name):
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    with pytest.raises(SettingsError) as error:
        batch(1)
    assert str(error.value) == (
        "env = 'pettingzoo' needs PettingZoo 1.22.*; get it with pip install \"pettingzoo==1.22.*\" pygame "
        f"({version or 'no version'} is installed)"
    )
