"""Published values: what the file holds, and which runs they may stand beside."""

import pytest

from ltro_jax.config import Config
from ltro_jax.envs import list_tasks
from ltro_jax.presets import load_preset
from ltro_jax.presets.published import Published, comparable_values, published_values


def by_algorithm(values: list[Published]) -> dict[str, float]:
    return {value.algorithm: value.value for value in values}


def test_every_value_is_of_a_task_and_says_where_it_comes_from():
    values = published_values()
    assert len(values) == 29 and {value.task for value in values} < set(list_tasks())
    assert {value.algorithm for value in values} == {"happo", "hatrpo", "mappo"}
    for value in values:
        assert value.reading in ("table", "read by eye from a figure") and value.steps == 10_000_000
        assert value.source == "HARL (Zhong et al. 2024)" and value.unit.startswith("episode return")
        Config.from_dict({"task": value.task, **value.settings})  # settings that the task has


@pytest.mark.parametrize(
    "task, expected",
    [("simple_spread", -66.0), ("simple_reference", -10.0), ("simple_speaker_listener", -8.0)],
)
def test_presets_with_the_published_physics_are_comparable(task, expected):
    assert by_algorithm(comparable_values(load_preset(f"mpe_paper/{task}").to_dict()))["happo"] == expected
    assert comparable_values(load_preset(f"mpe/{task}").to_dict()) == []


def test_runs_in_another_unit_are_not_comparable():
    def values(**settings):
        return by_algorithm(comparable_values(load_preset("mpe_paper/simple_spread", **settings).to_dict()))

    assert values() == {"happo": -66, "hatrpo": -71, "mappo": -69}
    assert values(continuous_actions=False) == {"happo": -62, "hatrpo": -63, "mappo": -58}
    assert values(num_agents=3, hidden_sizes=(8,)) == values()
    assert values(num_agents=4) == values(team_reward="mean") == values(episode_length=50) == {}
    ant = Config.from_dict({"task": "mamujoco/ant_4x2", "agent_obsk": 1, "backend": "mjx"})
    assert by_algorithm(comparable_values(ant.to_dict())) == {"happo": 5850, "hatrpo": 5000, "mappo": 5850}
