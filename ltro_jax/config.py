"""Settings: static sizes (they recompile) apart from traced hyper-parameters (they vmap).

A `Config` is three frozen groups: `Static` is hashable and decides the compiled program, `Hypers` is a pytree of
scalars that one program takes as input, `Run` only steers the host. Setting names are unique over the three, so
that a flat dictionary, a TOML preset and a command line all mean the same thing.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flax import struct


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence naming the key, its value and what is allowed."""


def setting(default: Any, help: str, **check: Any) -> Any:
    """A dataclass field with its help text and what it may be (`above`, `at_least`, `at_most`, `choices`)."""
    return field(default=default, metadata={"help": help, **check})


def hyper(default: float, help: str, **check: Any) -> Any:
    """As `setting`, for a leaf of the traced pytree."""
    return struct.field(default=default, metadata={"help": help, **check})


@dataclass(frozen=True)
class Static:
    """Settings that are part of the compiled program."""

    task: str = setting("mpe/simple_spread", "environment, as listed by `ltro envs`")
    algorithm: str = setting("clip_happo", "algorithm, as listed by `ltro presets`")
    num_agents: int | None = setting(
        None, "number of agents where the task allows a choice; none = its default", at_least=1
    )
    continuous_actions: bool | None = setting(
        None, "continuous or discrete actions where the task offers both; none = its default"
    )
    episode_length: int | None = setting(None, "time limit of an episode in steps; none = the task's own", at_least=1)
    team_reward: str = setting("sum", "team reward from the agents' rewards", choices=("sum", "mean"))
    num_envs: int = setting(20, "parallel environments B", at_least=1)
    rollout_length: int = setting(200, "rollout steps T per iteration", at_least=1)
    hidden_sizes: tuple[int, ...] = setting((128, 128), "widths of the hidden layers of actor and critic", at_least=1)
    actor_epochs: int = setting(5, "epochs K over the rollout per agent", at_least=0)
    critic_epochs: int = setting(5, "epochs over the rollout for the critic", at_least=0)
    actor_minibatches: int = setting(
        1, "minibatches M per actor epoch; must divide num_envs × rollout_length", at_least=1
    )
    critic_minibatches: int = setting(
        1, "minibatches per critic epoch; must divide num_envs × rollout_length", at_least=1
    )
    ls_steps: int = setting(10, "trust region: most candidates of the line search", at_least=1)
    cg_iterations: int = setting(10, "trust region: conjugate-gradient iterations", at_least=1)
    agent_order: str = setting(
        "random",
        "order of the sequential update, drawn anew each iteration or fixed",
        choices=("random", "fixed"),
    )
    truncation: str = setting(
        "bootstrap",
        "advantage at a time limit: bootstrap from the true next state, or mask",
        choices=("bootstrap", "mask"),
    )
    anneal_lr: bool = setting(False, "learning rates fall linearly to 0 over the run")
    eval_episodes: int = setting(20, "evaluation episodes, greedy and sampled each; 0 = no evaluation", at_least=0)
    eval_interval: int = setting(10, "iterations per device call; an evaluation follows each call", at_least=1)
    matmul_precision: str = setting(
        "highest", "precision of matrix products on accelerators", choices=("highest", "high", "default")
    )

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.num_envs * self.rollout_length


class Hypers(struct.PyTreeNode):
    """Traced hyper-parameters: scalars float32, or `[S]` once stacked over members."""

    actor_lr: Any = hyper(5e-4, "actor learning rate", above=0)
    critic_lr: Any = hyper(5e-4, "critic learning rate", above=0)
    clip_eps: Any = hyper(0.2, "ratio clip ε of the surrogate, and value clip", above=0)
    factor_clip: Any = hyper(1.0, "upper clamp c of the factor where it is used; 1 = clip-HAPPO, inf = HAPPO", above=0)
    kl_threshold: Any = hyper(0.01, "trust region: δ, largest mean KL(old ‖ new) of a step in nats", above=0)
    accept_ratio: Any = hyper(0.5, "trust region: least actual gain over expected gain", at_least=0)
    backtrack_coeff: Any = hyper(0.8, "trust region: each candidate is this much shorter", above=0, at_most=1)
    ent_coef: Any = hyper(0.01, "coefficient of the mean entropy", at_least=0)
    gamma: Any = hyper(0.99, "discount γ", at_least=0, at_most=1)
    gae_lambda: Any = hyper(0.95, "λ of the generalised advantage estimate", at_least=0, at_most=1)
    max_grad_norm: Any = hyper(10.0, "global gradient norm is clipped to this", above=0)
    huber_delta: Any = hyper(10.0, "δ of the value loss: quadratic below, linear above", above=0)
    adam_eps: Any = hyper(1e-5, "ε of Adam", above=0)
    std_x_coef: Any = hyper(1.0, "Gaussian head: std = sigmoid(log_std / std_x_coef) · std_y_coef", above=0)
    std_y_coef: Any = hyper(0.5, "Gaussian head: upper limit of the standard deviation", above=0)


@dataclass(frozen=True)
class Run:
    """Settings of the host loop; of the program only the length of a run that anneals its learning rate."""

    seeds: tuple[int, ...] = setting((0,), "seeds, one member each: A:B (half-open) or 1,4,9", at_least=0)
    total_env_steps: int = setting(
        10_000_000, "environment steps per member; rounded up to whole iterations", at_least=1
    )
    checkpoint_interval: int = setting(
        50, "iterations between checkpoints (taken at the next end of a device call)", at_least=1
    )
    keep_checkpoints: int = setting(2, "newest checkpoints kept", at_least=1)


GROUPS = ("static", "hypers", "run")


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    static: Static = field(default_factory=Static)
    hypers: Hypers = field(default_factory=Hypers)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        for name, spec in SETTINGS.items():
            _check_range(name, getattr(getattr(self, spec.group), name), spec.metadata)
        _check_together(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "Config":
        """Build from flat `{name: value}`; missing names take their defaults.

        Raises:
            SettingsError: unknown name, wrong type or a value outside its range.
        """
        return cls().replace(**settings)

    def replace(self, **settings: Any) -> "Config":
        """A copy with some settings changed, by flat name.

        A change of `algorithm` alone also sets `factor_clip`: 1 for the `clip_…` algorithms, inf for the others.
        """
        if "algorithm" in settings and "factor_clip" not in settings:
            settings["factor_clip"] = 1.0 if str(settings["algorithm"]).startswith("clip_") else math.inf
        groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        for name, value in settings.items():
            if name not in SETTINGS:
                raise SettingsError(f"unknown setting {name!r}; allowed are {', '.join(sorted(SETTINGS))}")
            groups[SETTINGS[name].group][name] = _coerce(name, value)
        return Config(**{group: dataclasses.replace(getattr(self, group), **groups[group]) for group in GROUPS})

    def to_dict(self) -> dict[str, Any]:
        """Flat `{name: value}` of plain Python values; `from_dict` reads it back."""
        return {name: getattr(getattr(self, spec.group), name) for name, spec in SETTINGS.items()}

    @property
    def members(self) -> tuple["Member", ...]:
        """The (seed, hyper-parameters) pairs that the run trains side by side."""
        return tuple(Member(seed, self.hypers) for seed in self.run.seeds)

    @property
    def num_iterations(self) -> int:
        """Iterations of the whole run."""
        return math.ceil(self.run.total_env_steps / self.static.steps_per_iteration)


class Member(typing.NamedTuple):
    """One member of a run: what distinguishes it from the others."""

    seed: int
    hypers: Hypers


class SettingSpec(typing.NamedTuple):
    """Where a setting lives and what it may be."""

    group: str
    type: Any
    default: Any
    metadata: Mapping[str, Any]


def _specs() -> dict[str, SettingSpec]:
    specs = {}
    for group, cls in zip(GROUPS, (Static, Hypers, Run), strict=True):
        hints = typing.get_type_hints(cls)
        for item in dataclasses.fields(cls):
            kind = float if group == "hypers" else hints[item.name]
            specs[item.name] = SettingSpec(group, kind, item.default, item.metadata)
    return specs


SETTINGS: dict[str, SettingSpec] = _specs()


def _coerce(name: str, value: Any) -> Any:
    """Convert a Python, TOML, JSON or command-line value to the setting's type."""
    kind = SETTINGS[name].type
    if typing.get_origin(kind) is types.UnionType:  # int | None
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    try:
        if typing.get_origin(kind) is tuple:
            return parse_integers(value)
        if kind is bool:
            return _to_bool(value)
        if kind is int:
            return _to_int(value)
        if kind is float:
            return float(value.replace("_", "") if isinstance(value, str) else value)
        if not isinstance(value, str):
            raise ValueError
        return value
    except (TypeError, ValueError, OverflowError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}.get(
            kind, "whole numbers like 0:10 or 1,4,9"
        )
        raise SettingsError(f"{name} = {value!r} is not {wanted}") from None


def _to_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).lower()
    if text not in words:
        raise ValueError
    return words[text]


def _to_int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    number = float(value.replace("_", "")) if isinstance(value, str) else value
    if number != int(number):
        raise ValueError
    return int(number)


MAX_INTEGERS = 1_000_000  # a longer range is a slip of the pen


def parse_integers(value: Any) -> tuple[int, ...]:
    """`"0:4"` → (0, 1, 2, 3), `"1,4,9"` → (1, 4, 9); a number or a sequence of numbers is taken as it is."""
    if isinstance(value, str):
        numbers: list[int] = []
        for part in value.strip("[]() ").rstrip(",").split(","):
            first, colon, last = part.partition(":")
            span = range(_to_int(first), _to_int(last)) if colon else (_to_int(first),)
            if len(span) > MAX_INTEGERS:
                raise ValueError
            numbers += span
        return tuple(numbers)
    if isinstance(value, int):
        return (_to_int(value),)
    return tuple(_to_int(item) for item in value)


def _check_range(name: str, value: Any, allowed: Mapping[str, Any]) -> None:
    """Refuse a value outside `allowed`; sequences are checked item by item."""
    if value is None:
        return
    if "choices" in allowed and value not in allowed["choices"]:
        raise SettingsError(f"{name} = {value!r} is not one of {', '.join(allowed['choices'])}")
    items = value if isinstance(value, tuple) else (value,)
    if not items:
        raise SettingsError(f"{name} is empty; give at least one number")
    tests = (
        ("above", "greater than", lambda item, limit: item > limit),
        ("at_least", "at least", lambda item, limit: item >= limit),
        ("at_most", "at most", lambda item, limit: item <= limit),
    )
    for key, words, test in tests:
        if key in allowed and not all(test(item, allowed[key]) for item in items):
            raise SettingsError(f"{name} = {value!r} is not allowed; it must be {words} {allowed[key]}")


def _check_together(config: Config) -> None:
    """Conditions on several settings at once."""
    static, run = config.static, config.run
    for name in ("actor_minibatches", "critic_minibatches"):
        count = getattr(static, name)
        if static.steps_per_iteration % count:
            raise SettingsError(
                f"{name} = {count} does not divide num_envs × rollout_length = {static.num_envs} × "
                f"{static.rollout_length} = {static.steps_per_iteration}; choose a divisor"
            )
    if len(set(run.seeds)) != len(run.seeds):
        raise SettingsError(f"seeds = {','.join(map(str, run.seeds))} repeats a seed; each member needs its own")
    if max(run.seeds) >= 2**32:
        raise SettingsError(f"seeds = {max(run.seeds)} is too large; a seed must be below 2**32")
    for name, value in dataclasses.asdict(config.hypers).items():
        if math.isnan(value) or (math.isinf(value) and name != "factor_clip"):
            raise SettingsError(f"{name} = {value} is not a finite number")
