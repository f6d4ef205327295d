"""Settings of the exact studies. Needs no JAX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ltro_jax.config.coercion import SettingsError

STUDIES = ("variance", "improvement", "nash_gap")
VARIANCE_ACTIONS = 2  # of each agent in the variance study; few, so that many agents can be enumerated
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
    kl_thresholds: Sequence[float] = (0.001, 0.01, 0.1)  # variance and improvement, nats
    agents: Sequence[int] = (2, 3, 4, 6, 8)  # variance
    num_agents: int = 4  # improvement and Nash gap
    num_actions: int = 3  # likewise
    iterations: int = 20  # improvement
    gap_iterations: int = 1000
    gap_kl_threshold: float = 0.01
    learning_rate: float = 10.0  # Nash gap, gradient steps
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("factor_clips", "kl_thresholds", "agents"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        at_least = {"games": 2, "num_states": 1, "num_agents": 1, "num_actions": 2, "iterations": 1, "seed": 0}
        at_least["gap_iterations"] = 10
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least {least}")
        if not 0 <= self.gamma < 1:
            raise SettingsError(f"gamma = {_text(self.gamma)} must be at least 0 and less than 1")
        for name in ("factor_clips", "kl_thresholds", "agents"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or not all(value > 0 for value in values):
                shown = " ".join(map(_text, values))
                raise SettingsError(f"{name} = {shown} must be distinct numbers above 0")
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


def _text(value: float) -> str:
    """A unique label of a float64: all its digits."""
    return str(float(value)).removesuffix(".0")
