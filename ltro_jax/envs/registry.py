"""Task names → environments. A new family is one adapter file and one line here."""

import difflib
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs.agent_id import AgentId
from ltro_jax.envs.base import Environment
from ltro_jax.envs.checked import Checked
from ltro_jax.envs.mabrax import make_mabrax
from ltro_jax.envs.mabrax_joints import TASKS
from ltro_jax.envs.mpe import SCENARIOS, make_mpe
from ltro_jax.envs.probes import PROBES, make_probe
from ltro_jax.envs.smax import SCENARIOS as BATTLES
from ltro_jax.envs.smax import make_smax
from ltro_jax.envs.swimmer import SWIMMERS, make_swimmer


class Family(NamedTuple):
    """One adapter file: its maker, the names it knows, and what its tasks take."""

    make: Callable[[str, Static], Environment]
    names: tuple[str, ...]
    options: frozenset[str] = frozenset()  # of OPTIONS; others are refused unless left out
    extra: str | None = None  # the optional dependencies that all or some settings of it need
    modules: tuple[str, ...] = ()  # of the extra, without which there is no task at all


OPTIONS = (
    "num_agents",
    "continuous_actions",
    "team_reward",
    "observation",
    "backend",
)  # settings that not every family takes

FAMILIES: dict[str, Family] = {
    "mpe": Family(make_mpe, tuple(SCENARIOS), frozenset({"num_agents", "continuous_actions", "team_reward"})),
    "smax": Family(make_smax, BATTLES),
    "mabrax": Family(make_mabrax, tuple(TASKS), frozenset({"observation", "backend"}), "mabrax", ("brax", "mujoco")),
    "swimmer": Family(make_swimmer, SWIMMERS, frozenset({"backend"}), "mujoco"),  # the extra for backend = "mjx" only
    "probe": Family(make_probe, PROBES, frozenset({"num_agents", "continuous_actions"})),
}


def register_family(name: str, family: Family) -> None:
    """Make the tasks `name/…` of `family` known in this process.

    Raises:
        SettingsError: there is a family of that name.
    """
    if name in FAMILIES:
        raise SettingsError(f"family {name!r} is there already; choose another name than {', '.join(FAMILIES)}")
    FAMILIES[name] = family


def list_tasks() -> list[str]:
    """All task names, `family/name`."""
    return [f"{family}/{name}" for family, members in FAMILIES.items() for name in members.names]


def missing_extra(task: str) -> str | None:
    """The extra that `task` needs and that is not installed; None where nothing is missing."""
    family = FAMILIES[task.partition("/")[0]]
    missing = [module for module in family.modules if importlib.util.find_spec(module) is None]
    return family.extra if missing else None


def make_env(settings: Static) -> Environment:
    """The environment that `settings.task` names.

    Raises:
        SettingsError: unknown task, an option that the task does not take, an extra that is not installed, or a spec
            that contradicts itself; later, while it is traced, an environment that returns something else than its
            spec says (see `checked.py`).
    """
    family, _, name = settings.task.partition("/")
    if family not in FAMILIES or name not in FAMILIES[family].names:
        near = difflib.get_close_matches(settings.task, list_tasks(), 1, 0.3)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"task = {settings.task!r} is unknown; {hint}allowed are {', '.join(list_tasks())}")
    make, _, options, extra, _ = FAMILIES[family]
    for option in OPTIONS:
        value = getattr(settings, option)
        if value is not None and option not in options:
            raise SettingsError(f"{option} = {value!r} has no meaning on {settings.task}; leave it out")
    try:
        env = make(name, settings)
    except ImportError as error:
        if extra is None:
            raise
        backend = f" with backend = {settings.backend!r}" if settings.backend else ""
        raise SettingsError(
            f"task = {settings.task!r}{backend} needs the extra {extra!r}, which is not installed; "
            f"get it with pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
    env = Checked(env)
    return AgentId(env) if settings.agent_id else env
