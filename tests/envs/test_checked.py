"""Environments of other people: what they get wrong is one sentence, and what converts safely is converted."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax import SettingsError, train
from ltro_jax.config import Static
from ltro_jax.envs import Family, make_env
from ltro_jax.envs.checked import Checked
from ltro_jax.envs.probes import make_probe
from ltro_jax.envs.registry import FAMILIES


class Changed:
    """`probe/endless` with fields of its time steps, or all of its state, made into something else."""

    def __init__(self, reset_state: Any = None, step_state: Any = None, spec: Any = None, **fields: Any):
        self._env = make_probe("endless", Static(task="probe/endless", episode_length=4))
        self._fields, self._states = fields, (reset_state, step_state)
        self.spec = spec or self._env.spec

    def reset(self, key: jax.Array) -> Any:
        return self._changed(0, *self._env.reset(key))

    def step(self, key: jax.Array, env_state: Any, action: jax.Array) -> Any:
        count, symbol = (jnp.asarray(leaf, jnp.int32) for leaf in env_state)
        return self._changed(1, *self._env.step(key, (count, symbol), action))

    def _changed(self, index: int, env_state: Any, timestep: Any) -> Any:
        change = self._states[index]
        changed = {name: change(getattr(timestep, name)) for name, change in self._fields.items()}
        return (change(env_state) if change else env_state), timestep.replace(**changed)


def shapes(env: Checked) -> Any:
    """What `step` returns after `reset`."""
    env_state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    return jax.eval_shape(env.step, jax.random.key(1), env_state, jnp.zeros(2, jnp.int32))


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"reward": lambda x: x[None]}, r"reward of reset has shape \(1,\) float32; expected shape \(\) float32"),
        (
            {"reward": lambda x: jnp.stack([x, x])},
            r"shape \(2,\) float32; expected .* \(the reward of the team: a sum or a mean over ",
        ),
        (
            {"observation": lambda x: x[:, :2]},
            r"observation of reset has shape \(2, 2\) float32; expected shape \(2, 3\) f",
        ),
        ({"state": lambda x: x[:2]}, r"state of reset has shape \(2,\) float32; expected shape \(3,\) float32"),
        ({"action_mask": lambda x: x[0]}, r"action_mask of reset has shape \(3,\) bool; expected shape \(2, 3\) bool"),
        ({"active_mask": lambda x: x[:1]}, r"active_mask of reset has shape \(1,\) bool; expected shape \(2,\) bool"),
        (
            {"truncated": lambda x: jnp.stack([x, x])},
            r"truncated of reset has shape \(2,\) bool; expected shape \(\) bool",
        ),
        ({"terminated": lambda x: None}, r"terminated of reset is None; expected shape \(\) bool"),
        ({"reward": lambda x: x + 0j}, r"reward of reset has shape \(\) complex64; expected shape \(\) float32"),
        (
            {"won": lambda x: jnp.zeros((), bool)},
            "won of reset is given; expected None, because the spec has winnable = F",
        ),
        (
            {"step_state": lambda s: (s[0], s[1][None])},
            r"env_state\[1\] of step has shape \(1,\) int32; expected shape \(\) ",
        ),
        (
            {"step_state": lambda s: (s[0] + 0.5, s[1])},
            r"env_state\[0\] of step has shape \(\) float32; expected .* int32 as",
        ),
        ({"step_state": lambda s: s[0]}, "env_state of step is the tree .*; expected that of reset, "),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes, sentence):
    with pytest.raises(SettingsError, match=rf"^task = 'probe/endless': .*{sentence}"):
        shapes(Checked(Changed(**changes)))


def test_something_else_than_a_pair():
    env = Changed()
    env.reset = lambda key: jnp.zeros(3)  # type: ignore[method-assign]
    with pytest.raises(SettingsError, match=r"reset returns .*; expected a pair of its state and a TimeStep"):
        shapes(Checked(env))


def test_a_spec_that_contradicts_itself():
    spec = dataclasses.replace(Changed().spec, observation_sizes=(3,))
    with pytest.raises(SettingsError, match="has 2 agents, but 1 observation_sizes and 2 action_sizes"):
        Checked(Changed(spec=spec))


CONVERTED = {
    "reward": lambda x: x.astype(jnp.float16),
    "observation": lambda x: x.astype(jnp.int32),
    "state": lambda x: x.astype(jnp.bfloat16),
    "action_mask": lambda x: x.astype(jnp.float32),
    "active_mask": lambda x: x.astype(jnp.uint8),
    "terminated": lambda x: x.astype(jnp.int32),
    "truncated": lambda x: x.astype(jnp.float32),
    "reset_state": lambda s: (jnp.asarray(0.0), s[1]),  # a weak float, to which the step adds to an integer
}


def test_what_converts_safely_is_converted():
    plain, env = make_probe("endless", Static(task="probe/endless", episode_length=4)), Checked(Changed(**CONVERTED))
    for expected, found in zip(
        jax.tree.leaves(shapes(Checked(plain))[1]), jax.tree.leaves(shapes(env)[1]), strict=True
    ):
        assert (found.shape, found.dtype, found.weak_type) == (expected.shape, expected.dtype, False)
    ours, theirs = env.reset(jax.random.key(0)), plain.reset(jax.random.key(0))
    for step in range(4):
        ours, theirs = (
            e.step(jax.random.key(step), s[0], jnp.zeros(2, jnp.int32)) for e, s in ((env, ours), (plain, theirs))
        )
        for a, b in zip(jax.tree.leaves(ours[1]), jax.tree.leaves(theirs[1]), strict=True):
            np.testing.assert_array_equal(a, b)
    assert bool(ours[1].truncated) and ours[0][0].dtype == jnp.float32


@pytest.mark.parametrize("task", ["probe/recall", "mpe/simple_spread", "mpe/simple_speaker_listener"])
def test_nothing_is_added_to_our_own_programs(task):
    env = make_env(Static(task=task))
    plain = env.unchecked  # type: ignore[attr-defined]
    assert isinstance(env, Checked)
    env_state, _ = jax.eval_shape(plain.reset, jax.random.key(0))
    size = (env.spec.num_agents,) if env.spec.discrete else (env.spec.num_agents, env.spec.action_size)
    action = jnp.zeros(size, jnp.int32 if env.spec.discrete else jnp.float32)
    ours, theirs = (str(jax.make_jaxpr(e.step)(jax.random.key(0), env_state, action)) for e in (env, plain))
    assert ours == theirs


def test_one_that_never_ends_trains_and_is_told(tiny, tmp_path, monkeypatch, capsys):
    """With every conversion, and while JAX looks for NaN: no episode ends, which is no fault of the run."""
    never = {"truncated": lambda x: jnp.zeros((), jnp.float32)}
    monkeypatch.setitem(FAMILIES, "odd", Family(lambda name, static: Changed(**(CONVERTED | never)), ("one",)))
    config = tiny(task="odd/one", episode_length=None, total_env_steps=2 * 32)
    with jax.debug_nans(True):
        run = train(config, tmp_path / "run", progress=False)
    assert run.finished and np.isnan(run.metrics["episode_return"]).all() and run.metrics["finite"].all()
    told = [line for line in capsys.readouterr().err.splitlines() if "no episode of" in line]
    (sentence,) = told
    assert sentence.startswith(
        "ltro: no episode of probe/endless has ended in 16 steps, although its episode_length is 4"
    )
    assert sentence.endswith("neither terminated nor truncated became true")


def test_a_bad_one_leaves_no_run(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "odd", Family(lambda name, static: Changed(reward=lambda x: x[None]), ("one",)))
    with pytest.raises(SettingsError, match="reward of reset has shape"):
        train(tiny(task="odd/one", episode_length=None), tmp_path / "run", progress=False)
    assert not any(tmp_path.iterdir())
