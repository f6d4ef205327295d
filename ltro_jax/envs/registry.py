"""Task names → environments. A new family needs an adapter file, options in `config/families.py` and a line here."""

import dataclasses
import difflib
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from ltro_jax.config import SETTINGS, EnvOptions, SettingsError, Static
from ltro_jax.config.families import (
    MABraxOptions,
    MaMuJoCoOptions,
    MPEOptions,
    ProbeOptions,
    SwimmerOptions,
    UnresolvedOptions,
    declare_options,
    make_options,
)
from ltro_jax.config.specs import field_specs
from ltro_jax.envs.agent_id import AgentId
from ltro_jax.envs.base import Environment
from ltro_jax.envs.checked import Checked
from ltro_jax.envs.mabrax import make_mabrax
from ltro_jax.envs.mabrax_joints import TASKS
from ltro_jax.envs.mamujoco import make_mamujoco
from ltro_jax.envs.mamujoco_bodies import TASKS as BODIES_AND_SPLITS
from ltro_jax.envs.mpe import SCENARIOS, make_mpe
from ltro_jax.envs.probes import PROBES, make_probe
from ltro_jax.envs.smax import SCENARIOS as BATTLES
from ltro_jax.envs.smax import make_smax
from ltro_jax.envs.swimmer import SWIMMERS, make_swimmer


class Family(NamedTuple):
    """A family of tasks: `make(name, settings)` builds the environment of the task `family/name`."""

    make: Callable[[str, Static], Environment]  # `settings.options` is an instance of `options`
    names: tuple[str, ...]
    options: type[EnvOptions] = EnvOptions  # the class of its options; by default there are none
    extra: str | None = None  # the optional dependencies that all or some of its tasks need
    modules: tuple[str, ...] = ()  # modules of the extra that every task needs


FAMILIES: dict[str, Family] = {
    "mpe": Family(make_mpe, tuple(SCENARIOS), MPEOptions),
    "smax": Family(make_smax, BATTLES),
    "mabrax": Family(make_mabrax, tuple(TASKS), MABraxOptions, "mabrax", ("brax", "mujoco")),
    "mamujoco": Family(make_mamujoco, tuple(BODIES_AND_SPLITS), MaMuJoCoOptions, "mamujoco", ("mujoco", "gymnasium")),
    "swimmer": Family(make_swimmer, SWIMMERS, SwimmerOptions, "mujoco"),  # only backend = "mjx" needs the extra
    "probe": Family(make_probe, PROBES, ProbeOptions),
}


def register_family(name: str, family: Family) -> None:
    """Make the tasks `name/…` of `family` and its options known in this process.

    Raises:
        SettingsError: the name is taken, or the class of the options is not a frozen dataclass of `setting(…)` fields
            with types that settings can have.
    """
    if name in FAMILIES:
        raise SettingsError(f"family {name!r} already exists; choose a name other than {', '.join(FAMILIES)}")
    declare_options(name, family.options, SETTINGS)
    FAMILIES[name] = family


def family_of(task: str) -> Family:
    """The family of `task`.

    Raises:
        SettingsError: unknown task.
    """
    family, _, name = task.partition("/")
    if family not in FAMILIES or name not in FAMILIES[family].names:
        near = difflib.get_close_matches(task, list_tasks(), 1, 0.3)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"task = {task!r} is unknown; {hint}allowed are {', '.join(list_tasks())}")
    return FAMILIES[family]


def list_tasks() -> list[str]:
    """All task names, `family/name`."""
    return [f"{family}/{name}" for family, members in FAMILIES.items() for name in members.names]


def missing_extra(task: str) -> str | None:
    """The extra that `task` needs and that is not installed; None if nothing is missing."""
    family = family_of(task)
    missing = [module for module in family.modules if importlib.util.find_spec(module) is None]
    return family.extra if missing else None


def make_env(settings: Static) -> Environment:
    """The environment of `settings.task`, with the agents' numbers prepended if `settings.agent_id` says so.

    Raises:
        SettingsError: an unknown task, an option that the task does not support, an extra that is not installed, or a
            spec that contradicts itself; later, while it is traced, an environment whose output contradicts its spec
            (see `checked.py`).
    """
    family = family_of(settings.task)
    if isinstance(settings.options, UnresolvedOptions):  # given before the family was registered
        options = make_options(settings.task, family.options, settings.options.to_dict())
        settings = dataclasses.replace(settings, options=options)
    try:
        env = family.make(settings.task.partition("/")[2], settings)
    except ImportError as error:
        if family.extra is None:
            raise
        raise SettingsError(
            f"task = {settings.task!r}{_chosen_options(settings)} needs the extra {family.extra!r}, which is not "
            f"installed; get it with pip install -c constraints.txt -e '.[{family.extra}]'"
        ) from error
    env = Checked(env)
    return AgentId(env) if settings.agent_id else env


def _chosen_options(settings: Static) -> str:
    """The options that differ from their defaults, in words."""
    specs, values = field_specs(type(settings.options)), settings.options.to_dict()
    words = [f"{name} = {value!r}" for name, value in values.items() if value != specs[name].default]
    return f" with {', '.join(words)}" if words else ""
