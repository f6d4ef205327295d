"""Task names → environments. A new family is one adapter file and one line here."""

import difflib
from collections.abc import Callable
from typing import NamedTuple

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs.agent_id import AgentId
from ltro_jax.envs.base import Environment
from ltro_jax.envs.mpe import SCENARIOS, make_mpe
from ltro_jax.envs.probes import PROBES, make_probe


class Family(NamedTuple):
    """One adapter file: its maker `(name, settings) → Environment` and the names it knows."""

    make: Callable[[str, Static], Environment]
    names: tuple[str, ...]


FAMILIES: dict[str, Family] = {
    "mpe": Family(make_mpe, tuple(SCENARIOS)),
    "probe": Family(make_probe, PROBES),
}


def list_tasks() -> list[str]:
    """All task names, `family/name`."""
    return [f"{family}/{name}" for family, members in FAMILIES.items() for name in members.names]


def make_env(settings: Static) -> Environment:
    """The environment that `settings.task` names.

    Raises:
        SettingsError: unknown task, or an option that the task does not take.
    """
    family, _, name = settings.task.partition("/")
    if family not in FAMILIES or name not in FAMILIES[family].names:
        near = difflib.get_close_matches(settings.task, list_tasks(), 1, 0.3)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"task = {settings.task!r} is unknown; {hint}allowed are {', '.join(list_tasks())}")
    env = FAMILIES[family].make(name, settings)
    return AgentId(env) if settings.agent_id else env
