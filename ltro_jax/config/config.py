"""All settings of a run: the groups together, by flat names, checked."""

import dataclasses
import itertools
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ltro_jax.config.coercion import SettingsError, coerce, number_text, quoted
from ltro_jax.config.defaults import defaults_of
from ltro_jax.config.groups import Run, Static
from ltro_jax.config.hypers import Hypers
from ltro_jax.config.sharing import check_sharing
from ltro_jax.config.specs import GROUPS, SETTINGS

MAX_SIZE = 2**31 - 1  # the program counts in int32
MAX_ITERATIONS = 2**31 - 2  # evaluations after the run take the last number


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    `given` names those that a user chose, as opposed to those of a preset or of a run on disk: only a choice can be
    refused for having no effect. Of groups made by hand it names the settings that are not the defaults.
    """

    static: Static = field(default_factory=Static)
    hypers: Hypers = field(default_factory=Hypers)
    run: Run = field(default_factory=Run)
    given: frozenset[str] = field(default=None, compare=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.given is None:
            changed = (name for name, value in self.to_dict().items() if value != SETTINGS[name].default)
            object.__setattr__(self, "given", frozenset(changed))
        for name, spec in SETTINGS.items():
            _check_range(name, getattr(getattr(self, spec.group), name), spec.metadata)
        _check_together(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "Config":
        """Build from flat `{name: value}` that a user chose; missing names take their defaults.

        Raises:
            SettingsError: unknown name, wrong type or a value outside its range.
        """
        return cls().replace(**settings)

    @classmethod
    def stored(cls, settings: Mapping[str, Any], given: frozenset[str] = frozenset()) -> "Config":
        """As `from_dict`, of settings that but for `given` nobody chose now: those of a preset, or of a run on disk."""
        return dataclasses.replace(cls.from_dict(settings), given=given)

    @classmethod
    def of_run(cls, settings: dict[str, Any]) -> "Config":
        """As `stored`, of a run on disk, whose update rule is not looked up: what is missing takes global defaults."""
        return cls.stored({name: spec.default for name, spec in SETTINGS.items()} | settings)

    def replace(self, **settings: Any) -> "Config":
        """A copy with some settings changed, by flat name; they count as given.

        A change of `algorithm` also sets the defaults of the new one, except for settings that were given. It may be
        a subclass of `UpdateRule`, which is stored as `module:class`.
        """
        given = self.given | settings.keys()
        if "algorithm" in settings:
            settings["algorithm"] = coerce("algorithm", settings["algorithm"], str)
        if "algorithm" in settings and given < SETTINGS.keys():
            before, after = (defaults_of(name) for name in (self.static.algorithm, settings["algorithm"]))
            defaults = {name: SETTINGS[name].default for name in before} | dict(after)
            settings |= {name: value for name, value in defaults.items() if name not in given}
        groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        for name, value in settings.items():
            if name not in SETTINGS:
                raise SettingsError(f"unknown setting {name!r}; allowed are {', '.join(sorted(SETTINGS))}")
            groups[SETTINGS[name].group][name] = coerce(name, value, SETTINGS[name].type)
        changed = {group: dataclasses.replace(getattr(self, group), **groups[group]) for group in GROUPS}
        return Config(**changed, given=given)

    def to_dict(self) -> dict[str, Any]:
        """Flat `{name: value}` of plain Python values; `stored` reads it back."""
        return {name: getattr(getattr(self, spec.group), name) for name, spec in SETTINGS.items()}

    @property
    def points(self) -> tuple[dict[str, float], ...]:
        """What is tried: every combination of the grid's values, the last name changing fastest; one without a grid."""
        names = [name for name, _ in self.run.grid]
        combinations = itertools.product(*(values for _, values in self.run.grid))
        return tuple(dict(zip(names, values, strict=True)) for values in combinations)

    @property
    def members(self) -> tuple["Member", ...]:
        """The (seed, hyper-parameters) pairs that the run trains: all seeds of the first point, of the second, …"""
        return tuple(Member(seed, self.hypers.replace(**point)) for point in self.points for seed in self.run.seeds)

    def describe(self, member: "Member") -> str:
        """A member in words, of which no other member of the run has the same: `actor_lr=0.0003 seed 7`."""
        values = (f"{name}={number_text(getattr(member.hypers, name))}" for name, _ in self.run.grid)
        return " ".join([*values, f"seed {member.seed}"])

    @property
    def num_iterations(self) -> int:
        """Iterations of the whole run."""
        return -(-self.run.total_env_steps // self.static.steps_per_iteration)


class Member(typing.NamedTuple):
    """One member of a run: what distinguishes it from the others."""

    seed: int
    hypers: Hypers


def _check_range(name: str, value: Any, allowed: Mapping[str, Any]) -> None:
    """Refuse a value outside `allowed`; sequences are checked item by item."""
    if value is None:
        return
    items = value if isinstance(value, tuple) else (value,)
    for item in items:
        if "choices" in allowed and item not in allowed["choices"]:
            raise SettingsError(f"{name} = {item!r} is not one of {', '.join(allowed['choices'])}")
    tests = (
        ("above", "greater than", lambda item, limit: item > limit),
        ("at_least", "at least", lambda item, limit: item >= limit),
        ("at_most", "at most", lambda item, limit: item <= limit),
    )
    for key, words, test in tests:
        if key in allowed and not items:
            raise SettingsError(f"{name} is empty; give at least one number")
        if key in allowed and not all(test(item, allowed[key]) for item in items):
            raise SettingsError(f"{name} = {quoted(value)} is not allowed; it must be {words} {allowed[key]}")


def _check_together(config: Config) -> None:
    """Conditions on several settings at once."""
    static, run = config.static, config.run
    for name, value in vars(static).items():
        items = value if isinstance(value, tuple) else (value,)
        if any(isinstance(item, int) and item > MAX_SIZE for item in items):
            raise SettingsError(f"{name} = {quoted(value)} is too large; it must be at most {MAX_SIZE}")
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
    if len(set(run.seeds)) != len(run.seeds):
        words = quoted(",".join(map(str, run.seeds)))
        raise SettingsError(f"seeds = {words} repeats a seed; each member needs its own")
    if max(run.seeds) >= 2**32:
        raise SettingsError(f"seeds = {max(run.seeds)} is too large; a seed must be below 2**32")
    if len(set(run.tracker)) != len(run.tracker):
        raise SettingsError(f"tracker = {','.join(run.tracker)} names a tracker twice; once is enough")
    for name, values in run.grid:
        _check_axis(name, values)
    names = [name for name, _ in run.grid]
    if len(set(names)) != len(names):
        raise SettingsError(f"grid = {' '.join(names)} names a hyper-parameter twice; give all its values at once")
    for name, value in dataclasses.asdict(config.hypers).items():
        _check_float32(name, value)
    if config.num_iterations > MAX_ITERATIONS:
        raise SettingsError(
            f"total_env_steps = {run.total_env_steps} is {config.num_iterations} iterations of "
            f"{static.steps_per_iteration} steps; at most {MAX_ITERATIONS} are possible"
        )


def _check_axis(name: str, values: Sequence[float]) -> None:
    """One hyper-parameter of the grid."""
    if name not in SETTINGS or SETTINGS[name].group != "hypers":
        known = ", ".join(name for name, spec in SETTINGS.items() if spec.group == "hypers")
        raise SettingsError(f"grid = {name}=… is not a hyper-parameter of the program; allowed are {known}")
    if not values:
        raise SettingsError(f"grid = {name}= has no value; give at least one")
    _check_range(name, values, SETTINGS[name].metadata)
    for value in values:
        _check_float32(name, value)
    if len(set(map(np.float32, values))) != len(values):
        words = ",".join(str(value).removesuffix(".0") for value in values)
        raise SettingsError(f"grid = {name}={words} repeats a value (all are float32 numbers); leave one out")


def _check_float32(name: str, value: float) -> None:
    """Refuse what the program, which computes in float32, would take for infinity or for 0."""
    if name == "factor_clip" and value == math.inf:
        return
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.float32(value)
    if not np.isfinite(value):
        raise SettingsError(f"{name} = {value} is not a finite number")
    if not np.isfinite(rounded) or (rounded == 0) != (value == 0):
        size = "small" if rounded == 0 else "large"
        raise SettingsError(f"{name} = {value} is too {size} for the program, which computes in float32")
