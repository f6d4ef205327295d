"""Parameters that some agents share: which ones, and that the two ends are the known cases bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits

from ltro_jax import Config, SettingsError, make_train
from ltro_jax.config.sharing import parameter_groups
from ltro_jax.ops import standardise
from ltro_jax.training.returns import standardised


@pytest.mark.parametrize(
    "value, types, groups",
    [
        ("none", "abc", (0, 1, 2)),
        ("all", "abc", (0, 0, 0)),
        ("groups", "aab", (0, 0, 1)),
        ("groups", "bab", (0, 1, 0)),
        ("1,0,1", "abc", (0, 1, 0)),  # numbered by first appearance
    ],
)
def test_groups_of_agents(value, types, groups):
    assert parameter_groups(value, types) == groups


@pytest.mark.parametrize(
    "value, sentence",
    [
        ("some", "share_parameters = 'some' is not one of none, all, groups"),
        ("0,2", "share_parameters = 0,2 skips a group; number the groups from 0 without a gap"),
        ("-1,0", "share_parameters = -1,0 skips a group"),
    ],
)
def test_what_is_no_grouping(value, sentence):
    with pytest.raises(SettingsError, match=sentence):
        Config.from_dict({"share_parameters": value})


def test_a_group_for_each_agent_of_the_task():
    config = Config.from_dict({"task": "mpe/simple_spread", "share_parameters": "0,1"})
    with pytest.raises(SettingsError, match="names the groups of 2 agents; the task has 3"):
        make_train(config)


def test_types_of_agents():
    def groups(task, **settings):
        return make_train(Config.from_dict({"task": task, "share_parameters": "groups"} | settings)).parts.groups

    assert groups("mpe/simple_speaker_listener") == (0, 1)
    assert groups("mpe/simple_spread") == (0, 0, 0)
    assert groups("smax/3s5z") == (0, 0, 0, 1, 1, 1, 1, 1)


@pytest.fixture(scope="module")
def iterate(tiny):
    """An iteration of a probe game with three agents, by `share_parameters`: groups, agents before and after."""

    def run(share_parameters):
        config = tiny(num_agents=3, share_parameters=share_parameters)
        train = make_train(config)
        before = jax.jit(train.init)(0, config.hypers)
        after, metrics = jax.jit(train.iterate)(before, config.hypers)
        return train.parts.groups, before.agents, after.agents, metrics

    return {value: run(value) for value in ("none", "0,1,2", "all", "0,0,0", "0,0,1")}


def test_the_two_ends_are_the_known_cases(iterate):
    for value, same in (("0,1,2", "none"), ("0,0,0", "all")):
        assert iterate[value][0] == iterate[same][0]
        assert_same_bits(iterate[value][2:], iterate[same][2:])


def test_two_actors_of_three_agents(iterate):
    _, before, after, metrics = iterate["0,0,1"]
    for leaf, initial in zip(jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True):
        assert leaf.shape == initial.shape and leaf.shape[0] == 2
    moved = [np.abs(new - old).max(axis=tuple(range(1, new.ndim))) for new, old in zip(
        jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True)]  # fmt: skip
    assert np.all(np.max(moved, axis=0) > 0)
    assert all(np.isfinite(rows).all() and rows.shape == (3,) for rows in metrics.agent.values())


def test_advantages_are_standardised_within_a_group(tiny):
    parts = make_train(tiny(num_agents=3, share_parameters="0,1,0")).parts
    generator = np.random.default_rng(0)
    advantage = generator.normal(size=(3, 4, 5)).astype(np.float32) * np.array([1, 10, 100], np.float32)[:, None, None]
    active = generator.random((3, 4, 5)) < 0.8
    result = jax.jit(lambda a, m: standardised(a, m, parts))(advantage, active)
    pair = standardise(jnp.asarray(advantage[[0, 2]]), jnp.asarray(active[[0, 2]]))
    np.testing.assert_allclose(result[np.array([0, 2])], pair, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result[1], standardise(advantage[1], active[1]), rtol=1e-4, atol=1e-6)
