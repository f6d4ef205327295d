"""Options of environment families: given, stored and refused by flat names; a family from outside has its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ltro_jax.config import SETTINGS, Config, EnvOptions, SettingsError, Static, find_setting, setting
from ltro_jax.config.families import (
    OPTIONS,
    MABraxOptions,
    MaMuJoCoOptions,
    MPEOptions,
    ProbeOptions,
    SwimmerOptions,
    UnresolvedOptions,
    options_class,
)
from ltro_jax.envs import Family, make_env, register_family
from ltro_jax.envs.probes import Probe
from ltro_jax.envs.registry import FAMILIES
from ltro_jax.presets import load_preset, with_own_preset
from ltro_jax.runs.sweep import plan

# Task → options as text, and what they become
GIVEN: dict[str, tuple[dict[str, str], EnvOptions]] = {
    "mpe/simple_spread": (
        {"num_agents": "8", "continuous_actions": "no", "team_reward": "mean", "physics": "pettingzoo"},
        MPEOptions(8, False, "mean", "pettingzoo"),
    ),
    "smax/3m": ({}, EnvOptions()),
    "mabrax/ant_4x2": ({"observation": "joints", "backend": "spring"}, MABraxOptions("joints", "spring")),
    "mamujoco/ant": (
        {"backend": "mujoco", "partition": "hip_1|ankle_1", "agent_obsk": "1"},
        MaMuJoCoOptions("mujoco", "hip_1|ankle_1", 1),
    ),
    "swimmer/10x2": ({"backend": "mjx"}, SwimmerOptions("mjx")),
    "probe/target": ({"num_agents": "3", "continuous_actions": "true"}, ProbeOptions(3, True)),
}
# What runs stored before the families had their options: every name, for every task
FORMER = dict.fromkeys(("num_agents", "continuous_actions", "observation", "backend", "team_reward"))


@dataclass(frozen=True)
class RingOptions(EnvOptions):
    """Options with every type that an option can have."""

    size: int = setting(6, "number of places", at_least=2)
    slip: float = setting(0.0, "probability to stay", at_least=0, at_most=1)
    colours: tuple[str, ...] = setting((), "colours of the agents")
    shape: tuple[int, ...] = setting((1, 2), "two sizes")
    pay: tuple[float, ...] = setting((1.0,), "rewards")
    backend: str | None = setting(None, "how to step", choices=("fast", "exact"))
    closed: bool = setting(True, "the ends meet")


def make_ring(name: str, settings: Static) -> Probe:
    options = settings.options
    assert isinstance(options, RingOptions)
    return Probe("matching", options.size, settings.episode_length or 1)


@pytest.fixture
def ring(monkeypatch) -> Iterator[Family]:
    """The family, not registered yet."""
    yield Family(make_ring, ("open",), RingOptions)
    for registry in (FAMILIES, OPTIONS):
        registry.pop("ring", None)


def refusal(**settings: Any) -> str:
    with pytest.raises(SettingsError) as error:
        Config.from_dict(settings)
    return str(error.value)


def test_every_family_has_its_options():
    assert {name: family.options for name, family in FAMILIES.items()} == OPTIONS
    assert {task.partition("/")[0] for task in GIVEN} == set(OPTIONS)


@pytest.mark.parametrize("task", GIVEN)
def test_round_trip(task):
    text, options = GIVEN[task]
    config = Config.from_dict({"task": task, **text})
    assert config.static.options == options and config.given == {"task", *text}
    assert config == Config.from_dict({**text, "task": task}) == Config.from_dict({"task": task}).replace(**text)
    values = config.to_dict()
    assert {name: values[name] for name in text} == options.to_dict() and "options" not in values
    loaded = Config.stored(json.loads(json.dumps(values)))
    assert loaded == config and hash(loaded.static) == hash(config.static) and loaded.given == frozenset()
    assert Config.stored(FORMER | values) == config


@pytest.mark.parametrize("task", GIVEN)
def test_none_is_the_default(task):
    assert Config.stored(FORMER | {"task": task}).static.options == options_class(task)()
    for name in FORMER:
        assert Config.from_dict({"task": task, name: " None "}) == Config.from_dict({"task": task})
    text, _ = GIVEN[task]
    assert Config.from_dict({"task": task, **text}).replace(**dict.fromkeys(text)) == Config.from_dict({"task": task})


def test_options_of_other_families_are_refused():
    assert refusal(task="smax/3m", num_agents="8") == "num_agents = 8 has no meaning on smax/3m; leave it out"
    assert refusal(task="swimmer/10x2", observation="full") == (
        "observation = 'full' has no meaning on swimmer/10x2; leave it out"
    )
    assert refusal(task="smax/3m", num_agents="many") == "num_agents = 'many' has no meaning on smax/3m; leave it out"
    assert refusal(task="swimmer/10x2", backend="spring") == "backend = 'spring' is not one of built_in, mjx"
    choices = "generalized, mjx, spring, positional"
    assert refusal(task="mabrax/ant_4x2", backend="built_in") == f"backend = 'built_in' is not one of {choices}"
    assert refusal(task="smax/3m", size=7).startswith("unknown setting 'size'; ")
    with pytest.raises(SettingsError, match=r"options = SwimmerOptions\(…\) are not the options of mpe/simple_spread"):
        Static(options=SwimmerOptions())
    with pytest.raises(SettingsError, match="num_agents = 0 is not allowed"):
        Config(Static(options=MPEOptions(num_agents=0)))


def test_another_task_keeps_what_it_can():
    config = Config.from_dict({"num_agents": 8, "team_reward": "sum"})
    assert config.replace(task="mpe/simple_reference").static.options == MPEOptions(num_agents=8)
    assert Config.from_dict({"num_agents": 8}).replace(task="probe/matching").static.options == ProbeOptions(8)
    assert load_preset("mpe/simple_spread").replace(task="smax/3m").static.options == EnvOptions()
    with pytest.raises(SettingsError, match="team_reward = 'sum' has no meaning on probe/matching"):
        config.replace(task="probe/matching")  # the default, but given
    assert config.replace(task="probe/matching", team_reward=None).static.options == ProbeOptions(8)
    preset = with_own_preset(Config.from_dict({"num_agents": 8}), task="probe/unlike")
    assert preset.static.options == ProbeOptions(8) and preset.given == {"num_agents", "task"}
    with pytest.raises(SettingsError, match="num_agents = 8 has no meaning on smax/3m"):
        with_own_preset(Config.from_dict({"num_agents": 8}), task="smax/3m")


def test_options_are_swept_as_static_settings():
    parts = plan(load_preset("mpe/simple_spread"), {"num_agents": ["2", "4"], "continuous_actions": ["true", "false"]})
    assert [part.static.options for part in parts.values()] == [
        MPEOptions(agents, continuous) for agents in (2, 4) for continuous in (True, False)
    ]
    assert next(iter(parts)) == "num_agents=2-continuous_actions=True"
    parts = plan(Config(), {"task": ["probe/target", "swimmer/10x2"], "backend": ["none"]})
    assert [part.static.options for part in parts.values()] == [ProbeOptions(), SwimmerOptions()]


def test_a_family_from_outside(ring):
    before = Config.stored({"task": "ring/open", "size": 4, "shape": [3, 4]})
    assert isinstance(before.static.options, UnresolvedOptions) and before.to_dict()["size"] == 4
    assert Config.stored(json.loads(json.dumps(before.to_dict()))) == before  # a run of it can be opened
    with pytest.raises(SettingsError, match="task = 'ring/open' is unknown"):
        make_env(before.static)
    register_family("ring", ring)
    assert make_env(before.static).spec.num_agents == 4
    assert before.replace(slip="0.5").static.options == RingOptions(size=4, slip=0.5, shape=(3, 4))

    text = {"size": "3", "slip": "1e-1", "colours": "red,blue", "shape": "5:7", "pay": "0.5,2"} | {
        "backend": "exact",
        "closed": "no",
    }
    config = Config.from_dict({"task": "ring/open", **text})
    assert config.static.options == RingOptions(3, 0.1, ("red", "blue"), (5, 6), (0.5, 2.0), "exact", False)
    assert Config.stored(json.loads(json.dumps(config.to_dict()))) == config
    assert make_env(config.static).spec.num_agents == 3
    assert refusal(task="ring/open", size=1) == "size = 1 is not allowed; it must be at least 2"
    assert refusal(task="ring/open", backend="mjx") == "backend = 'mjx' is not one of fast, exact"
    assert refusal(task="ring/open", size="big") == "size = 'big' is not a whole number"
    assert refusal(size=7) == "size = 7 has no meaning on mpe/simple_spread; leave it out"
    backends = [find_setting("backend", task) for task in ("ring/open", "swimmer/10x2")]
    assert [spec and spec.metadata["choices"] for spec in backends] == [("fast", "exact"), ("built_in", "mjx")]


def test_options_that_cannot_be_registered(ring):
    @dataclass(frozen=True)
    class Named(EnvOptions):
        gamma: float = setting(0.5, "discount of the game")

    @dataclass(frozen=True)
    class Bare(EnvOptions):
        size: int = 5

    @dataclass(frozen=True)
    class Typed(EnvOptions):
        size: tuple[bool, ...] = setting((), "sizes")

    class Undecorated(RingOptions):
        other: int = 3

    for options, sentence in (
        (Named, "the options of family 'ring': gamma is the name of a setting of every run; choose another name"),
        (Bare, "the options of family 'ring': size has no help text; declare it as setting(default, 'help text')"),
        (Typed, "the options of family 'ring': size is of type tuple[bool, ...]; choose bool, int, float, str, "),
        (Undecorated, "the options of family 'ring': Undecorated needs the decorator @dataclass(frozen=True)"),
        (dict, "the options of family 'ring' are <class 'dict'>; give a frozen dataclass derived from EnvOptions"),
    ):
        with pytest.raises(SettingsError) as error:
            register_family("ring", ring._replace(options=options))
        assert str(error.value).startswith(sentence)
    assert "ring" not in FAMILIES and "ring" not in OPTIONS and "gamma" in SETTINGS
    register_family("ring", ring)
    with pytest.raises(SettingsError, match="family 'ring' already exists; choose a name other than mpe, "):
        register_family("ring", ring)
    assert replace(Static(task="ring/open"), num_envs=3).options == RingOptions()
