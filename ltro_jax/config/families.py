"""The options of each environment family. Needs no JAX.

A family declares its options as a frozen dataclass of `setting(…)` fields. They are given, stored and shown by their
flat names, like all other settings, but only the tasks of that family accept them. Two families may use the same name
with different types, defaults and choices.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ltro_jax.config.coercion import NAMES, NUMBERS, SettingsError, SettingValue, coerce, is_none, without_none
from ltro_jax.config.specs import SettingSpec, check_range, field_specs, setting

KINDS = (bool, int, float, str, tuple[int, ...], NUMBERS, NAMES)  # of an option; each may also be None


@dataclass(frozen=True)
class EnvOptions:
    """The base class of a family's options; on its own, a family without options."""

    def to_dict(self) -> dict[str, SettingValue]:
        """`{name: value}`."""
        return {name: getattr(self, name) for name in field_specs(type(self))}


@dataclass(frozen=True)
class UnresolvedOptions(EnvOptions):
    """Options of a family that is not registered in this process, as they were given: its runs can still be opened."""

    values: tuple[tuple[str, SettingValue], ...] = ()

    def to_dict(self) -> dict[str, SettingValue]:
        """`{name: value}`."""
        return dict(self.values)


@dataclass(frozen=True)
class MPEOptions(EnvOptions):
    """Options of `mpe/…`."""

    num_agents: int | None = setting(
        None, "number of agents and of landmarks in simple_spread; none = 3", at_least=1, at_most=4096
    )
    continuous_actions: bool = setting(True, "continuous actions instead of discrete ones")
    team_reward: str = setting("sum", "how the agents' rewards form the team reward", choices=("sum", "mean"))
    physics: str = setting(
        "jaxmarl",
        "physics and collision count: those of JaxMARL, or of PettingZoo 1.22 as in published results",
        choices=("jaxmarl", "pettingzoo"),
    )


@dataclass(frozen=True)
class MABraxOptions(EnvOptions):
    """Options of `mabrax/…`."""

    observation: str = setting(
        "full", "what an agent observes: the whole state, or its joints and the torso", choices=("full", "joints")
    )
    backend: str = setting(
        "generalized", "physics engine of Brax", choices=("generalized", "mjx", "spring", "positional")
    )


@dataclass(frozen=True)
class MaMuJoCoOptions(EnvOptions):
    """Options of `mamujoco/…`."""

    backend: str | None = setting(
        None,
        "physics engine: MuJoCo's C engine or MuJoCo MJX; none = mujoco on a CPU, mjx elsewhere",
        choices=("mujoco", "mjx"),
    )
    partition: str | None = setting(
        None,
        "joints of each agent of an undivided body, commas between joints, bars between agents; none = one agent",
    )
    agent_obsk: int | None = setting(
        None,
        "an agent observes the torso and its joints (0), also the joints next to them (1); none = the whole state",
        at_least=0,
        at_most=1,
    )


@dataclass(frozen=True)
class SwimmerOptions(EnvOptions):
    """Options of `swimmer/…`."""

    backend: str = setting("built_in", "built-in physics, or MuJoCo MJX (extra `mujoco`)", choices=("built_in", "mjx"))


@dataclass(frozen=True)
class ProbeOptions(EnvOptions):
    """Options of `probe/…`."""

    num_agents: int | None = setting(None, "number of agents; none = 2", at_least=1, at_most=4096)
    continuous_actions: bool | None = setting(None, "the kind of actions that the probe game has; none = that kind")


OPTIONS: dict[str, type[EnvOptions]] = {
    "mpe": MPEOptions,
    "smax": EnvOptions,
    "mabrax": MABraxOptions,
    "mamujoco": MaMuJoCoOptions,
    "swimmer": SwimmerOptions,
    "probe": ProbeOptions,
}


def options_class(task: str) -> type[EnvOptions]:
    """The options of the family of `task`; `UnresolvedOptions` where no family of that name is registered."""
    return OPTIONS.get(task.partition("/")[0], UnresolvedOptions)


def families_with(name: str) -> dict[str, SettingSpec]:
    """Family → what the option `name` is there, for the families that have it."""
    return {family: field_specs(cls)[name] for family, cls in OPTIONS.items() if name in field_specs(cls)}


def option_names() -> list[str]:
    """The names of all options of all families."""
    return list(dict.fromkeys(name for cls in OPTIONS.values() for name in field_specs(cls)))


def make_options(task: str, cls: type[EnvOptions], values: Mapping[str, object]) -> EnvOptions:
    """The options `cls` of `task` from flat values of Python, TOML, JSON or a command line; None is the default.

    Raises:
        SettingsError: an option that the family does not have, or a wrong type or value.
    """
    given = {name: value for name, value in values.items() if not is_none(value)}
    if cls is UnresolvedOptions:
        return UnresolvedOptions(tuple((name, _hashable(value)) for name, value in given.items()))
    specs, chosen = field_specs(cls), {}
    for name, value in given.items():
        if name not in specs:
            raise SettingsError(f"{name} = {_shown(name, value)} has no meaning on {task}; leave it out")
        chosen[name] = coerce(name, value, specs[name].type)
        check_range(name, chosen[name], specs[name].metadata)
    return cls(**chosen)


def declare_options(family: str, cls: type[EnvOptions], taken: Mapping[str, SettingSpec]) -> None:
    """Make `cls` the options of `family` in this process.

    Args:
        taken: the settings whose names an option cannot have.
    Raises:
        SettingsError: `cls` cannot hold options.
    """
    where = f"the options of family {family!r}"
    if not (isinstance(cls, type) and issubclass(cls, EnvOptions)):
        raise SettingsError(f"{where} are {cls!r}; give a frozen dataclass derived from EnvOptions")
    if "__dataclass_params__" not in vars(cls):
        raise SettingsError(f"{where}: {cls.__name__} needs the decorator @dataclass(frozen=True)")
    specs = field_specs(cls)
    for item in dataclasses.fields(cls):
        if item.name not in specs:
            raise SettingsError(f"{where}: {item.name} has no help text; declare it as setting(default, 'help text')")
        if item.name in taken:
            raise SettingsError(f"{where}: {item.name} is the name of a setting of every run; choose another name")
        if without_none(specs[item.name].type) not in KINDS:
            raise SettingsError(
                f"{where}: {item.name} is of type {specs[item.name].type}; choose bool, int, float, str, "
                "tuple[int, ...], tuple[float, ...] or tuple[str, ...], or one of them | None"
            )
    OPTIONS[family] = cls


def _shown(name: str, value: object) -> str:
    """A value in a sentence, read as the option of another family where one has that name."""
    for spec in families_with(name).values():
        try:
            return repr(coerce(name, value, spec.type))
        except SettingsError:
            continue
    return repr(value)


def _hashable(value: object) -> SettingValue:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value  # type: ignore[return-value]
