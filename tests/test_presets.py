"""Presets: the paper's numbers for every task that has a counterpart, and algorithms compared in nothing else."""

import json
import math
import re
from pathlib import Path

import pytest

from ltro_jax.algorithms import ALGORITHMS, default_settings
from ltro_jax.config import Config, SettingsError
from ltro_jax.config.families import MaMuJoCoOptions, MPEOptions
from ltro_jax.presets import NO_COUNTERPART, list_presets, load_preset, with_own_preset

ENTRIES = list_presets()
MPE = ("simple_spread", "simple_reference", "simple_speaker_listener")
# the published settings of every task, copied once: family → task → algorithm → settings
PAPER = json.loads((Path(__file__).parent / "paper_tasks.json").read_text())
GROUPS = {  # the published table → the groups of presets that hold it
    "mpe": ("mpe",),
    "smac": ("smax",),
    "smac_share_params": ("smax",),
    "mamujoco": ("mamujoco", "mabrax"),
    "mamujoco_10thread": ("mamujoco_10",),
}
NOT_OF_THE_PAPER = {"smax/3m", "mamujoco/hopper_3x1", "mamujoco/walker2d_2x3"}


def counterparts(family: str, task: str) -> list[str]:
    """Our presets: `simple_spread_v2-continuous` → `mpe/simple_spread`, `Ant-v2-4x2` → `mamujoco/ant_4x2` and more."""
    if task.startswith("ManyagentSwimmer"):
        return [f"swimmer/{task.removeprefix('ManyagentSwimmer-v2-')}"]
    name = re.sub("_v[0-9]-continuous", "", task).lower().replace("-v2-", "_")
    return [f"{group}/{name}" for group in GROUPS[family]]


TABLES = [
    pytest.param(preset, task, algorithm, table, id=f"{preset}-{algorithm}")
    for family in GROUPS
    for task, tables in PAPER[family].items()
    if task not in NO_COUNTERPART
    for preset in counterparts(family, task)
    for algorithm, table in tables.items()
]


@pytest.mark.parametrize("preset, task, algorithm, table", TABLES)
def test_presets_hold_the_papers_numbers(preset, task, algorithm, table):
    config = load_preset(preset, algorithm).to_dict()
    expected = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    expected["factor_clip"] = float(table["factor_clip"])
    if "share_parameters" in expected:
        expected["share_parameters"] = "all" if expected["share_parameters"] else "none"
    assert {name: config[name] for name in expected} == expected
    entry = next(entry for entry in ENTRIES if (entry.preset, entry.algorithm) == (preset, algorithm))
    assert entry.paper_task == task and entry.derived_from is None and len(entry.differs) > 40


def test_every_preset_is_the_papers_or_says_that_it_is_not():
    assert {entry.preset for entry in ENTRIES if entry.paper_task is None} == NOT_OF_THE_PAPER
    published = {values.values[0] for values in TABLES} | {f"mpe_paper/{task}" for task in MPE}
    assert {entry.preset for entry in ENTRIES} - NOT_OF_THE_PAPER == published


def test_mujoco_is_set_up_as_in_the_paper():
    for entry in ENTRIES:
        if entry.preset.startswith("mamujoco"):
            static = load_preset(entry.preset, entry.algorithm).static
            assert static.task == f"mamujoco/{entry.preset.split('/')[1]}" and static.options == MaMuJoCoOptions()
            assert static.episode_length == 1000 and static.truncation == "mask"
    walker = load_preset("mamujoco/walker2d_3x2").to_dict() | {"task": "mamujoco/hopper_3x1"}
    assert load_preset("mamujoco/hopper_3x1").to_dict() == walker


def test_a_second_preset_of_a_task_keeps_its_settings_with_another_algorithm():
    """The paper tuned happo of walker2d_3x2 separately in the experiments with 10 environments."""
    second = load_preset("mamujoco_10/walker2d_3x2")
    for start in (second, Config.stored(second.to_dict()), second.replace(gamma=0.9)):
        happo = with_own_preset(start, algorithm="happo")
        wanted = load_preset("mamujoco_10/walker2d_3x2", "happo", gamma=start.hypers.gamma)
        assert happo.to_dict() == wanted.to_dict() and happo.static.num_envs == 10 and happo.hypers.ent_coef == 0.01
    other = with_own_preset(second, task="mamujoco_10/ant_4x2", num_envs=5)
    assert other.to_dict() == load_preset("mamujoco_10/ant_4x2", num_envs=5).to_dict()
    assert other.static.task == "mamujoco/ant_4x2"


@pytest.mark.parametrize("task", MPE)
def test_mpe_is_set_up_as_in_the_paper(task):
    static = load_preset(f"mpe/{task}").static
    assert static.options == MPEOptions(continuous_actions=True, team_reward="sum") and static.episode_length == 25
    for family in ("mpe", "mpe_paper"):
        assert {entry.algorithm for entry in ENTRIES if entry.preset == f"{family}/{task}"} == set(ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("task", MPE)
def test_mpe_with_the_physics_of_the_paper(task, algorithm):
    """The published bonus is a sum over the batch."""
    config = load_preset(f"mpe_paper/{task}", algorithm)
    original, own = load_preset(f"mpe/{task}", algorithm).to_dict(), config.to_dict()
    changes = {"physics": "pettingzoo", "truncation": "mask"}
    if "hatrpo" not in algorithm:
        changes["ent_coef"] = original["ent_coef"] * original["num_envs"] * original["rollout_length"]
    assert own == original | changes and own["task"] == f"mpe/{task}"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.preset}-{entry.algorithm}")
def test_derived_presets_differ_in_nothing_else(entry):
    config = load_preset(entry.preset, entry.algorithm)
    second = entry.preset.startswith("mamujoco_10/")  # the paper tuned happo there too
    assert config.static.task == entry.task and config.static.algorithm == entry.algorithm
    if entry.algorithm.startswith("clip_") or (second and entry.algorithm == "happo"):
        assert entry.derived_from is None
        return
    origin = "happo" if second else "clip_happo"
    assert entry.derived_from == ("clip_hatrpo" if entry.algorithm == "hatrpo" else origin)
    own, original = config.to_dict(), load_preset(entry.preset, entry.derived_from).to_dict()
    differing = {name for name in own if own[name] != original[name]}
    if entry.algorithm == "ippo":  # its critics see the agents' own observations
        differing -= {"critic_input"}
    if entry.algorithm == "a2po":
        assert own["factor_rule"] == "two_sided" and own["agent_order"] == "semi_greedy"
        differing -= {"factor_rule", "agent_order"}
    assert differing == {"algorithm", "factor_clip"} - (
        {"factor_clip"} if second and origin == entry.derived_from else set()
    )
    assert own["factor_clip"] == math.inf


def test_overrides_of_a_preset():
    config = load_preset("mpe/simple_spread", "happo", seeds="0:3", factor_clip=2, rollout_length=100)
    assert config.run.seeds == (0, 1, 2) and config.hypers.factor_clip == 2.0
    assert config.static.rollout_length == 100 and config.static.num_envs == 20


def test_unknown_presets_are_refused():
    with pytest.raises(SettingsError) as error:
        load_preset("mpe/simple_tag")
    tasks = ", ".join(sorted({entry.preset for entry in ENTRIES}))
    assert str(error.value) == f"preset 'mpe/simple_tag' is unknown; allowed are {tasks}"
    for name in ("ppo", "settings"):
        with pytest.raises(SettingsError) as error:
            load_preset("mpe/simple_spread", name)
        assert str(error.value).startswith(f"algorithm = {name!r} has no preset for mpe/simple_spread; allowed are ")
        assert all(algorithm in str(error.value) for algorithm in ALGORITHMS)
    with pytest.raises(SettingsError, match="unknown setting 'width'"):
        load_preset("mpe/simple_spread", width=3)


def test_an_algorithm_without_a_preset_takes_that_of_clip_happo_and_its_own_defaults():
    ours, base = load_preset("smax/3m", "a2po", gamma=0.9), load_preset("smax/3m")
    changed = {name: value for name, value in ours.to_dict().items() if value != base.to_dict()[name]}
    assert changed == {"algorithm": "a2po", "gamma": 0.9, **default_settings("a2po")}
    assert ours.given == {"gamma"}
