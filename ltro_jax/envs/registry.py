"""Task names → environments. A new family is one adapter file and one line here."""

import difflib
from collections.abc import Callable
from typing import NamedTuple

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs.agent_id import AgentId
from ltro_jax.envs.base import Environment
from ltro_jax.envs.mabrax import make_mabrax
from ltro_jax.envs.mabrax_joints import TASKS
from ltro_jax.envs.mpe import SCENARIOS, make_mpe
from ltro_jax.envs.probes import PROBES, make_probe


class Family(NamedTuple):
    """One adapter file: its maker, the names it knows, and what its tasks take."""

    make: Callable[[str, Static], Environment]
    names: tuple[str, ...]
    options: frozenset[str] = frozenset()  # of OPTIONS; others are refused unless left out
    extra: str | None = None  # the optional dependencies that it needs


class MissingExtra(SettingsError):
    """The task needs optional dependencies that are not installed: the extra of this name."""

    def __init__(self, task: str, extra: str, cause: ImportError):
        super().__init__(
            f"task = {task!r} needs the extra {extra!r}, which is not installed ({cause}); "
            f"get it with pip install -c constraints.txt -e '.[{extra}]'"
        )
        self.extra = extra


OPTIONS = ("num_agents", "continuous_actions", "observation", "backend")  # settings that not every family takes

FAMILIES: dict[str, Family] = {
    "mpe": Family(make_mpe, tuple(SCENARIOS), frozenset({"num_agents", "continuous_actions"})),
    "mabrax": Family(make_mabrax, tuple(TASKS), frozenset({"observation", "backend"}), extra="mabrax"),
    "probe": Family(make_probe, PROBES, frozenset({"num_agents", "continuous_actions"})),
}


def list_tasks() -> list[str]:
    """All task names, `family/name`."""
    return [f"{family}/{name}" for family, members in FAMILIES.items() for name in members.names]


def make_env(settings: Static) -> Environment:
    """The environment that `settings.task` names.

    Raises:
        SettingsError: unknown task, an option that the task does not take, or (MissingExtra) an extra that is not
            installed.
    """
    family, _, name = settings.task.partition("/")
    if family not in FAMILIES or name not in FAMILIES[family].names:
        near = difflib.get_close_matches(settings.task, list_tasks(), 1, 0.3)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"task = {settings.task!r} is unknown; {hint}allowed are {', '.join(list_tasks())}")
    make, _, options, extra = FAMILIES[family]
    for option in OPTIONS:
        value = getattr(settings, option)
        if value is not None and option not in options:
            raise SettingsError(f"{option} = {value!r} has no meaning on {settings.task}; leave it out")
    try:
        env = make(name, settings)
    except ImportError as error:
        if extra is None:
            raise
        raise MissingExtra(settings.task, extra, error) from error
    return AgentId(env) if settings.agent_id else env
