"""Settings of the exact studies. Needs no JAX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ltro_jax.config.coercion import SettingsError

STUDIES = ("variance", "factor_rules", "improvement", "nash_gap")
VARIANCE_ACTIONS = (
    2  # of each agent in the variance and factor_rules studies; few, so that many agents can be enumerated
)
POSITIVE = ("factor_clips", "factor_epsilons", "num_samples", "kl_thresholds", "agents")  # sequences of numbers > 0
MAX_AGENTS = 20
MAX_NUMBERS = 2**27  # float64 values of one batch, about 1 GB


@dataclass(frozen=True)
class TheorySettings:
    """Settings of the studies; each study reads only the settings that concern it.

    Raises:
        SettingsError: an invalid setting.
    """

    games: int = 100
    num_states: int = 4
    gamma: float = 0.9
    factor_clips: Sequence[float] = (0.5, 1.0, 2.0, math.inf)
    factor_epsilons: Sequence[float] = (0.1, 0.2, 0.5, 1.0)  # factor_rules, two_sided
    factor_powers: Sequence[float] = (0.25, 0.5, 0.75)  # factor_rules, power
    num_samples: Sequence[int] = (100, 1_000, 10_000)  # factor_rules, of a batch
    kl_thresholds: Sequence[float] = (0.001, 0.01, 0.1)  # variance, factor_rules and improvement, nats
    agents: Sequence[int] = (2, 3, 4, 6, 8)  # variance and factor_rules
    num_agents: int = 4  # improvement and Nash gap
    num_actions: int = 3  # likewise
    iterations: int = 20  # improvement
    gap_iterations: int = 1000
    gap_kl_threshold: float = 0.01
    learning_rate: float = 10.0  # Nash gap, gradient steps
    seed: int = 0

    def __post_init__(self) -> None:
        for name in POSITIVE + ("factor_powers",):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        at_least = {"games": 2, "num_states": 1, "num_agents": 1, "num_actions": 2, "iterations": 1, "seed": 0}
        at_least["gap_iterations"] = 10
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least {least}")
        if not 0 <= self.gamma < 1:
            raise SettingsError(f"gamma = {_text(self.gamma)} must be at least 0 and less than 1")
        for name in POSITIVE:
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or not all(value > 0 for value in values):
                shown = " ".join(map(_text, values))
                raise SettingsError(f"{name} = {shown} must be distinct numbers above 0")
        powers = self.factor_powers
        if not powers or len(set(powers)) < len(powers) or not all(0 <= power < math.inf for power in powers):
            shown = " ".join(map(_text, powers))
            raise SettingsError(f"factor_powers = {shown} must be distinct finite numbers of at least 0")
        for name in ("gap_kl_threshold", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} = {getattr(self, name)} must be a number above 0")
        if math.inf in self.kl_thresholds:
            raise SettingsError("kl_thresholds must be finite")
        if self.seed > 2**31 - 1:
            raise SettingsError(f"seed = {self.seed} must be at most {2**31 - 1}")
        if max(self.num_agents, *self.agents) > MAX_AGENTS:
            raise SettingsError(
                f"games of more than {MAX_AGENTS} agents are too large to enumerate; reduce agents or num_agents"
            )
        if len(self.agents) < 2:
            raise SettingsError(
                f"agents = {self.agents[0]} is one number; the growth with the number of agents needs at least 2"
            )
        for agents, actions, iterations in (
            (max(self.agents), VARIANCE_ACTIONS, 1),
            (self.num_agents, self.num_actions, max(self.iterations, self.gap_iterations)),
        ):
            states = self.num_states
            game = states * actions**agents * (states + 6 * agents)
            policies = iterations * agents * states * actions
            numbers = self.games * (game + policies)
            if numbers > MAX_NUMBERS:
                raise SettingsError(
                    f"{self.games} games of {agents} agents with {actions} actions in {states} states for {iterations} "
                    f"iterations need about {8e-9 * numbers:.3g} GB; reduce one of these numbers"
                )

    @property
    def rules(self) -> dict[str, tuple[str, float]]:
        """Name → schedule and clamp of the update rules."""
        sequential = {f"c = {_text(clip)}".replace("inf", "∞"): ("random", float(clip)) for clip in self.factor_clips}
        return sequential | {"simultaneous": ("simultaneous", 1.0)}

    @property
    def weights(self) -> dict[str, tuple[str, float]]:
        """Label → factor rule and its parameter (NaN = the rule has none) of each weight of the factor."""
        parameters = {
            "clamp": ("c", self.factor_clips),
            "per_agent_clamp": ("c", self.factor_clips),
            "two_sided": ("ε'", self.factor_epsilons),
            "power": ("α", self.factor_powers),
        }
        with_parameter = {
            f"{rule}, {symbol} = {_text(value)}".replace("inf", "∞"): (rule, float(value))
            for rule, (symbol, values) in parameters.items()
            for value in values
        }
        return with_parameter | {rule: (rule, math.nan) for rule in ("self_normalised", "none")}


def _text(value: float) -> str:
    """A unique label of a float64: all its digits."""
    return str(float(value)).removesuffix(".0")
