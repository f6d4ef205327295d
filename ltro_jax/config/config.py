"""All settings of a run: the three groups together, by flat name, checked."""

import dataclasses
import difflib
import itertools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ltro_jax.config.coercion import SettingsError, coerce, number_text, quoted
from ltro_jax.config.defaults import defaults_of
from ltro_jax.config.families import (
    EnvOptions,
    UnresolvedOptions,
    make_options,
    option_names,
    options_class,
)
from ltro_jax.config.groups import GROUPS, SETTINGS, RunSettings, Static
from ltro_jax.config.hypers import Hypers
from ltro_jax.config.sharing import check_sharing
from ltro_jax.config.specs import SettingSpec, check_range, field_specs

MAX_SIZE = 2**31 - 1  # the program counts in int32
MAX_ITERATIONS = 2**31 - 2  # the last number identifies evaluations after the run


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    `given` names the settings that a user chose, as opposed to those of a preset or of a stored run: only a chosen
    setting can be refused for having no effect. By default it names the settings that differ from their defaults.
    """

    static: Static = field(default_factory=Static)
    hypers: Hypers = field(default_factory=Hypers)
    run: RunSettings = field(default_factory=RunSettings)
    given: frozenset[str] = field(default=None, compare=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        values, specs = self.to_dict(), self.specs
        given = self.given
        if given is None:
            given = {name for name, value in values.items() if name not in specs or value != specs[name].default}
        object.__setattr__(self, "given", frozenset(given) & values.keys())
        for name, spec in specs.items():
            check_range(name, values[name], spec.metadata)
        _check_together(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "Config":
        """Build from flat `{name: value}` that a user chose; missing names take their defaults.

        Raises:
            SettingsError: an unknown name, a wrong type, a value outside its range, or an option that the family of
                the task does not have.
        """
        return cls().replace(**settings)

    @classmethod
    def stored(cls, settings: Mapping[str, Any], given: frozenset[str] = frozenset()) -> "Config":
        """As `from_dict`, for the settings of a preset or of a stored run: only `given` counts as chosen."""
        return dataclasses.replace(cls.from_dict(settings), given=given)

    @classmethod
    def of_run(cls, settings: dict[str, Any]) -> "Config":
        """As `stored`, of a run on disk, whose update rule is not looked up: what is missing takes global defaults."""
        return cls.stored({name: spec.default for name, spec in SETTINGS.items()} | settings)

    def replace(self, **settings: Any) -> "Config":
        """A copy with some settings changed, by flat name; they count as given.

        A change of `algorithm` also sets the defaults of the new one, except for settings that were given. It may be a
        subclass of `UpdateRule`, which is stored as `module:class`. A change of `task` to another family keeps the
        options that both families have.
        """
        given = self.given | settings.keys()
        if "algorithm" in settings:
            settings["algorithm"] = coerce("algorithm", settings["algorithm"], str)
        if "algorithm" in settings and not given >= SETTINGS.keys():
            before, after = (defaults_of(name) for name in (self.static.algorithm, settings["algorithm"]))
            defaults = {name: SETTINGS[name].default for name in before} | dict(after)
            settings |= {name: value for name, value in defaults.items() if name not in given}
        groups: dict[str, dict[str, object]] = {group: {} for group in GROUPS}
        options = {}
        for name, value in settings.items():
            spec = SETTINGS.get(name)
            if spec is None:
                options[name] = value
            else:
                groups[spec.group][name] = coerce(name, value, spec.type)
        task = str(groups["static"].get("task", self.static.task))
        groups["static"]["options"] = self._options(task, options)
        changed = {group: dataclasses.replace(getattr(self, group), **groups[group]) for group in GROUPS}
        return Config(**changed, given=given)

    def _options(self, task: str, changes: Mapping[str, object]) -> EnvOptions:
        """The options of `task`: those of this configuration with `changes`."""
        cls, old = options_class(task), self.static.options
        specs = field_specs(cls)
        for name in changes:
            if cls is not UnresolvedOptions and name not in (*specs, *option_names()):
                near = difflib.get_close_matches(name, [*SETTINGS, *specs], 1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise SettingsError(f"unknown setting {name!r}; {hint}`ltro train --help` lists all settings")
        kept = old.to_dict()
        if type(old) is not cls:  # a default of the old family is not a choice for the new one
            usual = {name: spec.default for name, spec in field_specs(type(old)).items()}
            changed = {name for name, value in kept.items() if name in specs and value != usual.get(name)}
            kept = {name: value for name, value in kept.items() if name in self.given | changed}
        return make_options(task, cls, {**kept, **changes})

    @property
    def specs(self) -> dict[str, SettingSpec]:
        """Every setting by name, the options of the task's family included."""
        return {**SETTINGS, **field_specs(type(self.static.options))}

    def _repr_html_(self) -> str:
        from ltro_jax.display import config_html

        return config_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Flat `{name: value}` of plain Python values; `stored` reads it back."""
        values = {name: getattr(getattr(self, spec.group), name) for name, spec in SETTINGS.items()}
        named = {name: values[name] for name in ("task", "algorithm")}
        return named | self.static.options.to_dict() | values

    @property
    def points(self) -> tuple[dict[str, float], ...]:
        """Every combination of the grid's values, the last name changing fastest; without a grid, one empty point."""
        names = [name for name, _ in self.run.grid]
        combinations = itertools.product(*(values for _, values in self.run.grid))
        return tuple(dict(zip(names, values, strict=True)) for values in combinations)

    @property
    def members(self) -> tuple["Member", ...]:
        """The (seed, hyper-parameters) pairs to train: all seeds of the first point, then of the second, …"""
        return tuple(Member(seed, self.hypers.replace(**point)) for point in self.points for seed in self.run.seeds)

    def describe(self, member: "Member") -> str:
        """The name of a member, unique within the run: `actor_lr=0.0003 seed 7`."""
        values = (f"{name}={number_text(getattr(member.hypers, name))}" for name, _ in self.run.grid)
        return " ".join([*values, f"seed {member.seed}"])

    @property
    def num_iterations(self) -> int:
        """Iterations of the whole run."""
        return -(-self.run.total_env_steps // self.static.steps_per_iteration)


class Member(typing.NamedTuple):
    """A member of a run: its seed and its hyper-parameters."""

    seed: int
    hypers: Hypers


def _check_together(config: Config) -> None:
    """Check conditions on several settings."""
    static = config.static
    for name, value in {**vars(static), **static.options.to_dict()}.items():
        items = value if isinstance(value, tuple) else (value,)
        if any(isinstance(item, int) and item > MAX_SIZE for item in items):
            raise SettingsError(f"{name} = {quoted(value)} is too large; it must be at most {MAX_SIZE}")
    _check_rollout(static)
    _check_run(config)
    for name, value in dataclasses.asdict(config.hypers).items():
        _check_float32(name, value)


def _check_rollout(static: Static) -> None:
    """The sizes of the rollout and of its minibatches."""
    length = static.sequence_length or 1
    if static.rollout_length % length:
        raise SettingsError(
            f"chunk_length = {length} does not divide rollout_length = {static.rollout_length}; choose a divisor"
        )
    formula, numbers = "num_envs × rollout_length", f"{static.num_envs} × {static.rollout_length}"
    if static.recurrent:
        formula, numbers = f"{formula} ÷ chunk_length", f"{numbers} ÷ {length}"
    num_samples = static.steps_per_iteration // length
    for name in ("actor_minibatches", "critic_minibatches"):
        count = getattr(static, name)
        if num_samples % count:
            raise SettingsError(
                f"{name} = {count} does not divide {formula} = {numbers} = {num_samples}; choose a divisor"
            )
    check_sharing(static.share_parameters)
    if static.share_parameters != "none" and static.actor_epochs == 0:
        sharing = f"share_parameters = {static.share_parameters}"
        raise SettingsError(f"actor_epochs = 0 is not possible with {sharing}; it must be at least 1")


def _check_run(config: Config) -> None:
    """Seeds, trackers, the grid and the length of the run."""
    static, run = config.static, config.run
    if len(set(run.seeds)) != len(run.seeds):
        words = quoted(",".join(map(str, run.seeds)))
        raise SettingsError(f"seeds = {words} repeats a seed; give each seed once")
    if max(run.seeds) >= 2**32:
        raise SettingsError(f"seeds = {max(run.seeds)} is too large; a seed must be below 2**32")
    if len(set(run.tracker)) != len(run.tracker):
        raise SettingsError(f"tracker = {','.join(run.tracker)} names a tracker twice; once is enough")
    for name, values in run.grid:
        _check_axis(name, values)
    names = [name for name, _ in run.grid]
    if len(set(names)) != len(names):
        raise SettingsError(f"grid = {' '.join(names)} names a hyper-parameter twice; give all its values at once")
    if config.num_iterations > MAX_ITERATIONS:
        raise SettingsError(
            f"total_env_steps = {run.total_env_steps} is {config.num_iterations} iterations of "
            f"{static.steps_per_iteration} steps; at most {MAX_ITERATIONS} are possible"
        )


def _check_axis(name: str, values: tuple[float, ...]) -> None:
    """Check a hyper-parameter of the grid."""
    if name not in SETTINGS or SETTINGS[name].group != "hypers":
        known = ", ".join(name for name, spec in SETTINGS.items() if spec.group == "hypers")
        raise SettingsError(f"grid = {name}=… is not a hyper-parameter of the program; allowed are {known}")
    if not values:
        raise SettingsError(f"grid = {name}= has no value; give at least one")
    check_range(name, values, SETTINGS[name].metadata)
    for value in values:
        _check_float32(name, value)
    if len(set(map(np.float32, values))) != len(values):
        words = ",".join(str(value).removesuffix(".0") for value in values)
        raise SettingsError(f"grid = {name}={words} repeats a value (all are float32 numbers); leave one out")


def _check_float32(name: str, value: float) -> None:
    """Refuse a value that float32, in which the program computes, rounds to infinity or to 0."""
    if name == "factor_clip" and value == math.inf:
        return
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.float32(value)
    if not np.isfinite(value):
        raise SettingsError(f"{name} = {value} is not a finite number")
    if not np.isfinite(rounded) or (rounded == 0) != (value == 0):
        size = "small" if rounded == 0 else "large"
        raise SettingsError(f"{name} = {value} is too {size} for the program, which computes in float32")
