"""Settings and environments as HTML."""

from collections.abc import Sequence
from typing import Any

from ltro_jax.config import Config
from ltro_jax.config.coercion import setting_text
from ltro_jax.config.families import options_class
from ltro_jax.config.specs import field_specs
from ltro_jax.display.html import Html, card, facts, folded, paragraph, table
from ltro_jax.envs import EnvSpec
from ltro_jax.presets import usual_settings


def config_html(config: Config) -> str:
    """The size of the run, the settings that differ from the preset, and all settings when opened."""
    static = config.static
    size = {
        "members": member_words(config),
        "iterations": f"{config.num_iterations:,} × {static.steps_per_iteration:,} env steps of each member",
    }
    every = [
        (name, _setting_text(value), config.specs[name].metadata["help"]) for name, value in config.to_dict().items()
    ]
    return card(
        f"Config: {static.algorithm} on {static.task}",
        facts(size),
        changed_settings(config),
        folded("all settings", table(("setting", "value", "meaning"), every, limit=None)),
    )


def changed_settings(config: Config) -> Html:
    """A table of the settings that differ from the preset of the task and algorithm, or from the defaults."""
    usual, base = usual_settings(config.static.task, config.static.algorithm)
    before = usual.to_dict()
    changed = [
        (name, _setting_text(value), _setting_text(before.get(name)))
        for name, value in config.to_dict().items()
        if value != before.get(name)
    ]
    if not changed:
        return paragraph(f"Every setting has its {base} value.")
    return table(("setting", "value", base), changed)


def member_words(config: Config) -> str:
    """`4 seeds`, `4 seeds × 9 points`."""
    seeds, points = len(config.run.seeds), len(config.points)
    words = f"{seeds} seed{'s' * (seeds != 1)}"
    return f"{words} × {points} points" if config.run.grid else words


def spec_html(spec: EnvSpec) -> str:
    """Agents with their observations and actions, state, time limit, team reward, and the options of the task."""
    groups: dict[tuple[int, int], list[str]] = {}
    for agent, observation, action in zip(spec.agents, spec.observation_sizes, spec.action_sizes, strict=True):
        groups.setdefault((observation, action), []).append(agent)
    unit = "discrete actions" if spec.discrete else "continuous dimensions"
    rows = [
        (len(names), name_list(names), f"{observation} numbers", f"{action} {unit}")
        for (observation, action), names in groups.items()
    ]
    values = {
        "state": f"{spec.state_size} numbers",
        "episode": f"at most {spec.episode_length} steps",
        "team reward": spec.team_reward_words,
        "win rate": "recorded" if spec.winnable else None,
        "options": ", ".join(field_specs(options_class(spec.name))) or None,
    }
    count = f"{spec.num_agents} agent{'s' * (spec.num_agents != 1)}"
    columns = ("agents", "names", "observation", "action")
    return card(f"EnvSpec: {spec.name}, {count}", facts(values), table(columns, rows))


def name_list(names: Sequence[str]) -> str:
    """The names; of more than eight the first seven and the last."""
    return ", ".join(names if len(names) <= 8 else (*names[:7], "…", names[-1]))


def _setting_text(value: Any) -> str:
    """A setting as on the command line; a grid as `actor_lr=0.0003,0.0005 gamma=0.9`."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return " ".join(f"{name}={setting_text(values)}" for name, values in value)
    return setting_text(value)
