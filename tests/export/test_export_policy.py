"""Exported policies: what the card says is all it takes to act, and what is read back is what was written."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from comparing import assert_same_bits, differing_leaves

from ltro_jax import RunError, export_policy, load_policy, load_run
from ltro_jax.storage import MetricStore

load_file: Any = pytest.importorskip("safetensors.numpy").load_file
save: Any = pytest.importorskip("safetensors.numpy").save

CASES = {
    "unlike sizes, continuous": {"task": "mpe/simple_speaker_listener", "algorithm": "happo"},
    "unlike sizes, discrete": {"task": "probe/unlike", "hidden_sizes": (8, 6)},
    "a memory, no layer norm": {"task": "probe/recall", "recurrent": True, "layer_norm": False},
    "shared, with a memory": {
        "task": "probe/recall",
        "recurrent": True,
        "share_parameters": "all",
        "agent_id": True,
    },
}


class ByTheCard:
    """Acts by what `policy.json` says, in NumPy and nothing else."""

    def __init__(self, directory: Path):
        self.card = json.loads((directory / "policy.json").read_text())
        self.tensors = load_file(directory / "policy.safetensors")
        assert {name: list(tensor.shape) for name, tensor in self.tensors.items()} == {
            name: entry["shape"] for name, entry in self.card["tensors"].items()
        }

    def initial_hidden(self) -> np.ndarray:
        return np.zeros(self.card["architecture"]["hidden_sizes"][-1])

    def act(self, agent: int, observation: np.ndarray, hidden: np.ndarray) -> tuple[Any, np.ndarray]:
        """The greedy action, and the next hidden state."""
        card, architecture = self.card, self.card["architecture"]
        actor = 0 if architecture["share_parameters"] == "all" else agent
        t = {name: tensor[actor].astype(np.float64) for name, tensor in self.tensors.items()}

        def norm(x: np.ndarray, layer: str) -> np.ndarray:
            if architecture["layer_norm"] is None:
                return x
            scaled = (x - x.mean()) / np.sqrt(x.var() + architecture["layer_norm_epsilon"])
            return scaled * t[f"{layer}.scale"][: len(x)] + t[f"{layer}.bias"][: len(x)]

        size = card["observation_sizes"][agent]
        x = norm(observation[:size].astype(np.float64), "body.input_norm")
        for k in range(len(architecture["hidden_sizes"])):
            x = np.maximum(x @ t[f"body.dense_{k}.kernel"][: len(x)] + t[f"body.dense_{k}.bias"], 0.0)
            x = norm(x, f"body.norm_{k}")
        if architecture["recurrent"]:
            a = np.split(x @ t["gru.input_kernel"] + t["gru.input_bias"], 3)
            b = np.split(hidden @ t["gru.recurrent_kernel"], 3)
            r, z = (1.0 / (1.0 + np.exp(-(a[gate] + b[gate]))) for gate in (0, 1))
            n = np.tanh(a[2] + r * (b[2] + t["gru.candidate_bias"]))
            hidden = (1.0 - z) * n + z * hidden
            x = norm(hidden, "gru_norm")
        y = (x @ t["head.kernel"] + t["head.bias"])[: card["action_sizes"][agent]]
        return (int(y.argmax()) if card["actions"] == "discrete" else y), hidden


@pytest.mark.parametrize("case", CASES)
def test_the_card_is_enough_to_act(case, tiny, stored, tmp_path):
    run = stored(tiny(seeds=(3, 7), **CASES[case]), tmp_path / "run")
    out = export_policy(run, tmp_path / "policy", seed=7)
    ours, back, theirs = load_policy(run, seed=7), load_policy(out), ByTheCard(out)
    assert_same_bits(back.params, ours.params)
    assert_same_bits(jnp.stack(list(vars(back.hypers).values())), jnp.stack(list(vars(ours.hypers).values())))
    assert back.spec == ours.spec and theirs.card["agents"] == list(ours.spec.agents)
    act = jax.jit(ours.act)
    state, hidden = ours.initial_state(), [theirs.initial_hidden()] * ours.spec.num_agents
    for seen in np.random.default_rng(1).normal(size=(3, ours.spec.num_agents, ours.spec.observation_size)):
        action, state = act(jnp.asarray(seen, jnp.float32), state)
        for agent, size in enumerate(ours.spec.action_sizes):
            expected, hidden[agent] = theirs.act(agent, seen[agent], hidden[agent])
            own = action[agent] if ours.spec.discrete else action[agent, :size]
            np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-4)


def test_the_card_says_where_it_comes_from(tiny, stored, tmp_path):
    run = load_run(stored(tiny(seeds=(3, 7)), tmp_path / "run", iteration=4))
    scores = xr.Dataset(
        {"eval_return_greedy": (("member", "iteration"), [[1.0, 2.0, 3.0, 4.0], [5.0, 8.0, 7.0, 6.0]])},
        {"iteration": [1, 2, 3, 4]},
    )
    MetricStore(run.directory.metrics).append(scores)
    newest, best = (export_policy(run.path, tmp_path / str(best), seed=7, best=best) for best in (False, True))
    again = run.evaluate(40, best=True, members=[1])
    fresh = {str(name): float(values[0]) for name, values in again.items() if str(name).startswith("eval_")}
    evaluated = {
        newest: {"of": "4 episodes of each kind, in training after this iteration", "eval_return_greedy": 6.0},
        best: {"of": "at least 40 episodes of each kind, which did not select these actors"} | fresh,
    }
    assert fresh["eval_return_greedy"] <= 3.0  # the most there is to get, and not the 8 it was chosen by
    for out, iteration in ((newest, 4), (best, 2)):
        card = json.loads((out / "policy.json").read_text())
        origin = card["origin"]
        assert (origin["seed"], origin["iteration"], origin["env_steps"]) == (7, iteration, iteration * 32)
        assert origin["evaluation"] == evaluated[out]
        assert origin["versions"]["jax"] and card["settings"]["seeds"] == [7]
    assert_same_bits(load_policy(best).params, load_policy(run.path, seed=7, best=True).params)
    assert differing_leaves(load_policy(best).params, load_policy(newest).params)


def test_a_point_of_a_grid_has_its_own_settings(tiny, stored, tmp_path):
    run = stored(tiny(task="probe/target", seeds=(3,), grid="std_y_coef=0.5,0.25"), tmp_path / "run")
    out = export_policy(run, tmp_path / "policy", point={"std_y_coef": 0.25})
    card = json.loads((out / "policy.json").read_text())
    assert card["architecture"]["std_y_coef"] == card["settings"]["std_y_coef"] == 0.25
    assert card["settings"]["grid"] == [] and load_policy(out).hypers.std_y_coef == 0.25


def test_what_is_refused(tiny, stored, tmp_path, monkeypatch):
    run = stored(tiny(eval_episodes=0), tmp_path / "run")
    out = export_policy(run, tmp_path / "policy")
    with pytest.raises(RunError, match="is one exported policy; leave out seed"):
        load_policy(out, seed=3)
    with pytest.raises(RunError, match="is already an exported policy; give the path of its run"):
        export_policy(out, tmp_path / "again")
    for taken in (out, run):
        with pytest.raises(RunError, match="already exists and is not empty; choose another directory with -o"):
            export_policy(run, taken)
    with pytest.raises(RunError, match=r"keeps no best policies \(eval_episodes = 0\); leave out best"):
        export_policy(run, tmp_path / "none", best=True)
    with pytest.raises(RunError, match="seed 4 is not in"):
        export_policy(run, tmp_path / "none", seed=4)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "safetensors.numpy", None)
        for attempt in (lambda: load_policy(out), lambda: export_policy(run, tmp_path / "none")):
            with pytest.raises(RunError, match=r"need the extra 'export', which is not installed; run pip"):
                attempt()
    assert not (tmp_path / "none").exists() and not (tmp_path / "again").exists()
    tensors = bytearray((out / "policy.safetensors").read_bytes())
    tensors[-1] ^= 1
    (out / "policy.safetensors").write_bytes(tensors)
    with pytest.raises(RunError, match=r"policy\.safetensors is damaged \(checksum differs\); export the policy again"):
        load_policy(out)
    for text, sentence in (("{", "is damaged: "), ("{}", "is not the card of an ltro_jax policy")):
        (out / "policy.json").write_text(text)
        with pytest.raises(RunError, match=f"policy.json {sentence}"):
            load_policy(out)


def edited(out: Path, tensors: dict[str, np.ndarray] | None = None, **changes: Any) -> None:
    """Change the card, and the tensors with their checksum."""
    if tensors is not None:
        data = save(tensors)
        (out / "policy.safetensors").write_bytes(data)
        changes["sha256"] = hashlib.sha256(data).hexdigest()
    card = json.loads((out / "policy.json").read_text()) | changes
    card = {name: value for name, value in card.items() if value is not None}
    (out / "policy.json").write_text(json.dumps(card))


def test_an_export_that_is_none_of_ours_is_one_sentence(tiny, stored, tmp_path):
    out = export_policy(stored(tiny(), tmp_path / "run"), tmp_path / "policy")
    card, good = (out / "policy.json").read_text(), load_file(out / "policy.safetensors")
    name, tensor = next(iter(good.items()))
    broken = tensor.copy()
    broken.flat[0] = np.nan
    for tensors, words in (
        (good | {name: tensor.astype(np.float16)}, rf"{name} is float16\[.*\] and must be float32\["),
        (good | {name: tensor.astype(np.int32)}, rf"{name} is int32\[.*\] and must be float32\["),
        (good | {name: broken}, f"{name} is not finite everywhere and must be finite"),
        (good | {"more": tensor}, r"more is float32\[.*\] and must be absent"),
        ({other: value for other, value in good.items() if other != name}, rf"{name} is absent and must be float32"),
    ):
        edited(out, tensors)
        with pytest.raises(RunError, match=f"does not match its settings: {words}.*; export the policy again$"):
            load_policy(out)
    (out / "policy.safetensors").write_bytes(b"no tensors")
    edited(out, sha256=hashlib.sha256(b"no tensors").hexdigest())
    with pytest.raises(RunError, match=r"policy\.safetensors is damaged \(.*; export the policy again$"):
        load_policy(out)
    changes: dict[str, Any]
    for changes, words in (
        ({"format_version": None}, "has no format_version"),
        ({"format_version": "1"}, "has no format_version"),
        ({"sha256": None}, "has no sha256"),
        ({"settings": [1]}, "has no settings"),
        ({"format_version": 99}, "was written by a newer ltro_jax"),
    ):
        (out / "policy.json").write_text(card)
        edited(out, **changes)
        with pytest.raises(RunError, match=words):
            load_policy(out)


def test_a_project_called_inf_is_opened_again(tiny, stored, tmp_path):
    config = tiny(tracker_project="inf", algorithm="happo")  # factor_clip = inf is a number
    run = stored(config, tmp_path / "run")
    assert load_run(run).config == config
    assert load_policy(export_policy(run, tmp_path / "policy")).parts.static == config.static
