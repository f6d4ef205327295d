"""Settings: what is refused and in which words, and what is read from text."""

import dataclasses
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms import ALGORITHMS
from ltro_jax.config import SETTINGS, Config, Hypers, RunSettings, SettingsError, Static
from ltro_jax.config.coercion import number_text, parse_integers
from ltro_jax.config.families import MPEOptions
from ltro_jax.config.groups import GROUPS


def refusal(**settings: Any) -> str:
    """The sentence with which settings are refused."""
    with pytest.raises(SettingsError) as error:
        Config.from_dict(settings)
    sentence = str(error.value)
    assert sentence and "\n" not in sentence and len(sentence) < 800
    return sentence


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("num_envs", "many", "a whole number"),
        ("num_envs", 2.5, "a whole number"),
        ("num_envs", "2.5", "a whole number"),
        ("num_envs", True, "a whole number"),
        ("num_envs", None, "a whole number"),
        ("num_envs", "", "a whole number"),
        ("num_envs", "inf", "a whole number"),
        ("num_envs", math.inf, "a whole number"),
        ("num_envs", math.nan, "a whole number"),
        ("num_agents", "two", "a whole number"),
        ("total_env_steps", "1e999", "a whole number"),
        ("actor_lr", "fast", "a number"),
        ("actor_lr", None, "a number"),
        ("actor_lr", [1e-3], "a number"),
        ("anneal_lr", "maybe", "true or false"),
        ("anneal_lr", 2, "true or false"),
        ("continuous_actions", "both", "true or false"),
        ("task", 5, "a name"),
        ("task", None, "a name"),
        ("algorithm", ["happo"], "a name"),
        ("seeds", "a:b", "whole numbers like 0:10 or 1,4,9"),
        ("seeds", "", "whole numbers like 0:10 or 1,4,9"),
        ("seeds", "1,,2", "whole numbers like 0:10 or 1,4,9"),
        ("seeds", "0:2:4", "whole numbers like 0:10 or 1,4,9"),
        ("hidden_sizes", "wide", "whole numbers like 0:10 or 1,4,9"),
        ("hidden_sizes", True, "whole numbers like 0:10 or 1,4,9"),
        ("hidden_sizes", [64, 1.5], "whole numbers like 0:10 or 1,4,9"),
    ],
)
def test_wrong_type_is_refused(name, value, allowed):
    assert refusal(**{name: value}) == f"{name} = {value!r} is not {allowed}"


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("num_envs", 0, "at least 1"),
        ("rollout_length", -1, "at least 1"),
        ("num_agents", 0, "at least 1"),
        ("episode_length", 0, "at least 1"),
        ("hidden_sizes", (64, 0), "at least 1"),
        ("actor_epochs", -1, "at least 0"),
        ("eval_episodes", -1, "at least 0"),
        ("eval_interval", 0, "at least 1"),
        ("total_env_steps", 0, "at least 1"),
        ("checkpoint_interval", 0, "at least 1"),
        ("keep_checkpoints", 0, "at least 1"),
        ("seeds", (3, -1), "at least 0"),
        ("actor_lr", 0.0, "greater than 0"),
        ("critic_lr", -1e-3, "greater than 0"),
        ("factor_clip", 0.0, "greater than 0"),
        ("factor_clip", math.nan, "greater than 0"),
        ("ent_coef", -0.01, "at least 0"),
        ("gamma", 1.5, "at most 1"),
        ("gamma", math.nan, "at least 0"),
        ("gae_lambda", -0.1, "at least 0"),
    ],
)
def test_out_of_range_is_refused(name, value, allowed):
    assert refusal(**{name: value}) == f"{name} = {value!r} is not allowed; it must be {allowed}"


@pytest.mark.parametrize("name", ["team_reward", "agent_order", "truncation", "matmul_precision"])
def test_other_words_are_refused(name):
    choices = Config().specs[name].metadata["choices"]
    assert refusal(**{name: "other"}) == f"{name} = 'other' is not one of {', '.join(choices)}"
    for choice in choices:
        assert Config.from_dict({name: choice}).to_dict()[name] == choice


def test_unknown_setting_is_refused():
    sentence = refusal(learning_rate=1e-3)
    assert sentence == "unknown setting 'learning_rate'; `ltro train --help` lists all settings"
    assert refusal(actor_rl=1e-3).startswith("unknown setting 'actor_rl'; did you mean actor_lr? ")


@pytest.mark.parametrize("name", ["actor_minibatches", "critic_minibatches"])
def test_minibatches_must_divide_the_rollout(name):
    sentence = refusal(**{name: 3}, num_envs=4, rollout_length=8)
    assert sentence == f"{name} = 3 does not divide num_envs × rollout_length = 4 × 8 = 32; choose a divisor"
    Config.from_dict({name: 16, "num_envs": 4, "rollout_length": 8})


def test_sequences_must_divide_the_rollout():
    sizes = {"num_envs": 4, "rollout_length": 8, "recurrent": True}
    sentence = "chunk_length = 3 does not divide rollout_length = 8; choose a divisor"
    assert refusal(**sizes, chunk_length=3) == sentence
    assert Config.from_dict(sizes | {"chunk_length": 3, "recurrent": False}).static.sequence_length is None
    assert Config.from_dict(sizes | {"chunk_length": 4}).static.sequence_length == 4
    formula = "num_envs × rollout_length ÷ chunk_length = 4 × 8 ÷ 4 = 8"
    sentence = refusal(**sizes, chunk_length=4, actor_minibatches=16)
    assert sentence == f"actor_minibatches = 16 does not divide {formula}; choose a divisor"


def test_a_shared_actor_needs_an_epoch():
    sentence = refusal(share_parameters="all", actor_epochs=0)
    assert sentence == "actor_epochs = 0 is not possible with share_parameters = all; it must be at least 1"


def test_seeds_that_cannot_be():
    assert refusal(seeds="1,4,1") == "seeds = 1,4,1 repeats a seed; give each seed once"
    assert refusal(seeds=2**32) == f"seeds = {2**32} is too large; a seed must be below 2**32"
    assert refusal(seeds="3:3") == "seeds is empty; give at least one number"
    assert refusal(seeds=()) == "seeds is empty; give at least one number"
    assert Config.from_dict({"seeds": 2**32 - 1}).run.seeds == (2**32 - 1,)


def test_layers_cannot_be_none():
    assert refusal(hidden_sizes=[]) == "hidden_sizes is empty; give at least one number"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Hypers)])
def test_hypers_must_be_finite(name):
    assert f"{name} = nan is not" in refusal(**{name: "nan"})
    if name == "factor_clip":
        assert Config.from_dict({name: "inf"}).hypers.factor_clip == math.inf
    else:
        assert f"{name} = inf is not" in refusal(**{name: "inf"})


def test_groups_made_by_hand_are_checked_too():
    with pytest.raises(SettingsError, match="num_envs = 0 is not allowed"):
        Config(Static(num_envs=0))
    with pytest.raises(SettingsError, match="actor_lr = -1"):
        Config(hypers=Hypers(actor_lr=-1))


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("0:4", (0, 1, 2, 3)),
        ("1,4,9", (1, 4, 9)),
        ("0:3,7", (0, 1, 2, 7)),
        ("[64, 32]", (64, 32)),
        ("(5,)", (5,)),
        ("7", (7,)),
        (7, (7,)),
        ([1, 2.0], (1, 2)),
        ("1_000,2e3", (1000, 2000)),
    ],
)
def test_integers_are_read(text, numbers):
    assert parse_integers(text) == numbers
    assert Config.from_dict({"seeds": text}).run.seeds == numbers


@pytest.mark.parametrize("text, number", [("1_000_000", 10**6), ("2e5", 200_000), (2e5, 200_000), ("17", 17)])
def test_large_numbers_are_read(text, number):
    steps = Config.from_dict({"total_env_steps": text}).run.total_env_steps
    assert steps == number and type(steps) is int


def test_scalars_of_numpy_and_jax_are_numbers():
    for three in (np.int64(3), np.uint8(3), np.float32(3), np.array(3), jnp.int32(3)):
        config = Config.from_dict({"seeds": three, "num_envs": three, "hidden_sizes": [three], "actor_lr": three})
        found = (config.run.seeds, config.static.num_envs, config.static.hidden_sizes, config.hypers.actor_lr)
        assert found == ((3,), 3, (3,), 3.0) and type(found[1]) is int and type(found[3]) is float
    assert Config.from_dict({"seeds": np.arange(2)}).run.seeds == (0, 1)
    config = Config.from_dict({"recurrent": np.True_, "anneal_lr": jnp.array(True)})
    assert config.static.recurrent is True and config.static.anneal_lr is True
    assert refusal(num_envs=np.True_) == "num_envs = np.True_ is not a whole number"
    assert refusal(gamma=True) == "gamma = True is not a number"


def test_numbers_that_are_too_large():
    assert refusal(seeds="0:10000000") == "seeds = '0:10000000' is 10000000 numbers; at most 1000000 are allowed"
    assert refusal(num_envs="1" * 5000).endswith("… is too large; a whole number must be below 2**63")
    assert refusal(num_envs=10**12) == f"num_envs = {10**12} is too large; it must be at most {2**31 - 1}"
    assert refusal(actor_lr=10**400).endswith("… is too large for a number")
    assert refusal(actor_lr=1e-50) == "actor_lr = 1e-50 is too small for the program, which computes in float32"
    assert refusal(actor_lr=1e40) == "actor_lr = 1e+40 is too large for the program, which computes in float32"
    sentence = refusal(total_env_steps=10**15, num_envs=1, rollout_length=1)
    assert sentence == f"total_env_steps = {10**15} is {10**15} iterations of 1 steps; at most {2**31 - 2} are possible"
    assert refusal(total_env_steps=math.inf) == "total_env_steps = inf is not a whole number"


def test_blanks_and_signs_of_zero_do_not_count():
    config = Config.from_dict({"algorithm": " mappo ", "num_agents": " none", "ent_coef": "-0.0", "anneal_lr": " yes "})
    assert config == Config.from_dict({"algorithm": "mappo", "ent_coef": 0, "anneal_lr": True})
    assert math.copysign(1, config.hypers.ent_coef) == 1
    assert refusal(task=" ") == "task = ' ' is not a name"


@pytest.mark.parametrize(
    "value, text",
    [(3e-4, "0.0003"), (1.0, "1"), (math.inf, "inf"), (1e-5, "1e-05"), (0.9999999, "0.9999999"), (0.1 + 0.2, "0.3")],
)
def test_numbers_as_text(value, text):
    assert number_text(value) == number_text(np.float32(value)) == text


def test_values_of_the_grid_differ_as_in_the_program():
    members = Config.from_dict({"grid": "gamma=0.9999999,1"})
    assert list(map(members.describe, members.members)) == ["gamma=0.9999999 seed 0", "gamma=1 seed 0"]
    repeats = "grid = gamma=0.99999999,1 repeats a value (all are float32 numbers); leave one out"
    assert refusal(grid="gamma=0.99999999,1") == repeats
    assert refusal(grid={"gamma": []}) == "grid = gamma= has no value; give at least one"


def test_what_was_given():
    """Neither what is stored nor the default; groups made by hand name what is not the default."""
    config = Config.from_dict({"actor_lr": 5e-4})
    assert config.given == {"actor_lr"} and config == Config() and Config().given == frozenset()
    assert config.replace(gamma=0.9).given == {"actor_lr", "gamma"}
    assert Config.stored(config.to_dict()).given == frozenset()
    assert Config(Static(num_envs=4), Hypers(actor_lr=5e-4)).given == {"num_envs"}
    assert "given" not in config.to_dict()


def test_words_are_read():
    config = Config.from_dict({"anneal_lr": "Yes", "num_agents": "none", "continuous_actions": "false", "gamma": "1"})
    assert config.static.anneal_lr is True and config.static.options == MPEOptions(continuous_actions=False)
    assert config.hypers.gamma == 1.0 and type(config.hypers.gamma) is float


def test_round_trip():
    settings = {"seeds": (3, 5), "hidden_sizes": [8], "factor_clip": math.inf, "num_agents": 2, "gamma": 0.5}
    config = Config.from_dict(settings)
    assert Config.stored(config.to_dict()) == config == Config.from_dict(config.to_dict())
    assert Config.stored(json.loads(json.dumps(config.to_dict()))) == config
    assert sorted(config.to_dict()) == sorted([*SETTINGS, "num_agents", "continuous_actions", "physics", "team_reward"])
    assert Config.from_dict({}) == Config()


def test_names_are_unique_and_explained():
    fields = [field.name for cls in (Static, Hypers, RunSettings) for field in dataclasses.fields(cls)]
    assert sorted(fields) == sorted([*SETTINGS, "options"])
    assert {spec.group for spec in SETTINGS.values()} == set(GROUPS)
    assert all(spec.metadata["help"] for spec in SETTINGS.values())


def test_static_is_hashable_and_hypers_are_a_pytree():
    one, other = Config.from_dict({"hidden_sizes": [8, 8]}).static, Config.from_dict({"hidden_sizes": "8,8"}).static
    assert one == other and hash(one) == hash(other) and len({one, other, Static()}) == 2
    doubled = jax.tree.map(lambda leaf: 2 * leaf, Hypers())
    assert isinstance(doubled, Hypers) and doubled.actor_lr == 2 * Hypers().actor_lr
    assert len(jax.tree.leaves(doubled)) == len(dataclasses.fields(Hypers))


def test_settings_are_frozen():
    for group in (Config(), Static(), Hypers(), RunSettings()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(group, dataclasses.fields(group)[0].name, None)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_algorithm_sets_the_factor_clip(algorithm):
    expected = 1.0 if algorithm.startswith("clip_") else math.inf
    assert Config.from_dict({"algorithm": algorithm}).hypers.factor_clip == expected
    assert Config.from_dict({"algorithm": algorithm, "factor_clip": 0.5}).hypers.factor_clip == 0.5
    assert Config().replace(algorithm=algorithm).hypers.factor_clip == expected
    assert Config.from_dict({"factor_clip": 0.5}).replace(algorithm=algorithm).hypers.factor_clip == 0.5


def test_iterations_are_rounded_up():
    config = Config.from_dict({"num_envs": 4, "rollout_length": 8, "total_env_steps": 65})
    assert config.static.steps_per_iteration == 32 and config.num_iterations == 3
