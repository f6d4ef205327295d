"""Training with bodies and cores other than the defaults: an LSTM resumes bitwise, and the page's body trains."""

import re
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_run
from jax.flatten_util import ravel_pytree

from ltro_jax import SettingsError, load_policy, make_train, resume, train
from ltro_jax.process import references

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def test_an_lstm_resumes_bitwise(tiny, tmp_path):
    """The hidden state of actors and critic is a pair that reaches across rollouts and the checkpoint."""
    config = tiny(task="probe/recall", recurrent=True, core="lstm", episode_length=None)
    finished = train(config, tmp_path / "finished", progress=False)
    state = finished.restore(4).state
    assert [leaf.shape for leaf in state.actor_hidden] == [(1, 4, 2, 8)] * 2
    assert [leaf.shape for leaf in state.critic_hidden] == [(1, 1, 4, 8)] * 2
    path = shutil.copytree(finished.path, tmp_path / "again")
    shutil.rmtree(path / "checkpoints" / "000000008")
    assert_same_run(resume(path, progress=False), finished)
    policy = load_policy(finished.path)
    action, hidden = policy.act(jnp.zeros((5, 2, policy.spec.observation_size)), policy.initial_state((5,)))
    assert action.shape == (5, 2) and [leaf.shape for leaf in hidden] == [(5, 2, 8)] * 2
    assert np.isfinite(finished.metrics["policy_loss"].values).all()


@pytest.fixture
def page_module(tmp_path, monkeypatch):
    """The first block of the page's section on bodies as a separate module."""
    section = PAGE.read_text(encoding="utf-8").split("## Add a network body")[1]
    block = re.search(r"^```python\n(.*?)^```", section, re.M | re.S)
    assert block is not None
    (tmp_path / "attention_body.py").write_text(block[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(references, "_allowed", {"attention_body"})
    yield "attention_body"
    sys.modules.pop("attention_body", None)


def test_the_body_of_the_page_trains(tiny, page_module):
    """Three iterations with agents of unlike sizes, by its reference."""
    config = tiny(task="probe/unlike", network=f"{page_module}:Attention", hidden_sizes=(8, 6), eval_episodes=0)
    program = make_train(config)

    @jax.jit
    def run(seed):
        state = program.init(seed, config.hypers)
        after, metrics = state, None
        for _ in range(3):
            after, metrics = program.iterate(after, config.hypers)
        return state, after, metrics

    before, after, metrics = run(0)
    spec = program.parts.spec
    assert after.agents.params["params"]["body"]["position"].shape == (spec.num_agents, spec.observation_size, 8)
    for old, new in ((before.agents, after.agents), (before.critic, after.critic)):
        assert new.params["params"]["body"]["features"]["kernel"].shape[1:] == (8, 6)
        flat_old, flat_new = ravel_pytree(old.params)[0], ravel_pytree(new.params)[0]
        assert np.isfinite(flat_new).all() and (flat_old != flat_new).any()
    assert metrics.agent["policy_loss"].shape == (spec.num_agents,)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(metrics))


def test_settings_without_effect(tiny, page_module):
    reference = f"{page_module}:Attention"
    with pytest.raises(SettingsError, match="core = 'lstm' has no effect with recurrent = False"):
        make_train(tiny(core="lstm"))
    with pytest.raises(SettingsError, match="layer_norm = False has no effect with network = 'attention_body:Att"):
        make_train(tiny(network=reference, layer_norm=False))
