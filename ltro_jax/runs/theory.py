"""The exact studies: measure the paper's claims on random games, from settings to labelled datasets and files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.rates import log_spaced
from ltro_jax.analysis.theory import MOMENTS
from ltro_jax.config import SettingsError
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.results import write_results
from ltro_jax.runs.theory_reports import report_gap, report_improvement, report_variance
from ltro_jax.theory import Hypers, float64, gradient_step, trust_region_step
from ltro_jax.theory.studies import Problems, courses, random_problems, weight_moments

AGENT_UPDATES = {"gradient_step": gradient_step, "trust_region_step": trust_region_step}
VARIANCE_ACTIONS = 2  # of each agent in the variance study, so that many agents can be enumerated
MAX_AGENTS = 20
MAX_NUMBERS = 2**27  # float64 values of one batch, about 1 GB

Say = Callable[[str], None]


@dataclass(frozen=True)
class TheorySettings:
    """Sizes of the studies; those of another study than the one that is run are not read.

    Raises:
        SettingsError: one of them cannot be used.
    """

    games: int = 100
    num_states: int = 4
    gamma: float = 0.9
    factor_clips: Sequence[float] = (0.5, 1.0, 2.0, np.inf)
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
                raise SettingsError(f"{name} = {shown} must be numbers above 0, each of them once")
        for name in ("gap_kl_threshold", "learning_rate"):
            if not 0 < getattr(self, name) < np.inf:
                raise SettingsError(f"{name} = {getattr(self, name)} must be a number above 0")
        if np.inf in self.kl_thresholds:
            raise SettingsError("kl_thresholds must be finite")
        if self.seed > 2**31 - 1:
            raise SettingsError(f"seed = {self.seed} must be at most {2**31 - 1}")
        if max(self.num_agents, *self.agents) > MAX_AGENTS:
            raise SettingsError(f"games of more than {MAX_AGENTS} agents are too large to be enumerated")
        if len(self.agents) < 2:
            raise SettingsError(f"agents = {self.agents[0]} is one number; growth needs at least 2")
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
                    f"iterations would need about {8e-9 * numbers:.3g} GB; choose fewer of them"
                )

    @property
    def rules(self) -> dict[str, tuple[str, float]]:
        """Name → schedule and clamp."""
        sequential = {f"c = {_text(clip)}".replace("inf", "∞"): ("random", float(clip)) for clip in self.factor_clips}
        return sequential | {"simultaneous": ("simultaneous", 1.0)}


def measure_variance(settings: TheorySettings, say: Say) -> xr.Dataset:
    """Moments of one trust-region update of each game, for every step size, clamp and number of agents."""
    sizes = (len(settings.kl_thresholds), len(settings.factor_clips), settings.games)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in MOMENTS}
    for agents in settings.agents:
        say(f"variance: {agents} agents")
        problems = _problems(settings, agents, VARIANCE_ACTIONS)
        found = [
            [weight_moments(problems, Hypers(factor_clip=clip, kl_threshold=kl)) for clip in settings.factor_clips]
            for kl in settings.kl_thresholds
        ]
        for name in MOMENTS:
            column = np.array([[getattr(moments, name) for moments in line] for line in found])
            columns[name].append(column.reshape(*sizes, agents))
    dims = ("kl_threshold", "factor_clip", "game", "place")
    coordinates = {
        "kl_threshold": list(settings.kl_thresholds),
        "factor_clip": list(settings.factor_clips),
        "agents": ("place", np.repeat(settings.agents, settings.agents)),
        "position": ("place", np.concatenate([np.arange(1, agents + 1) for agents in settings.agents])),
    }
    variables = {name: (dims, np.concatenate(column, axis=-1)) for name, column in columns.items()}
    return xr.Dataset(variables, coordinates, _attributes(settings, num_actions=VARIANCE_ACTIONS))


def measure_improvement(settings: TheorySettings, say: Say) -> xr.Dataset:
    """J(π') − J(π) and its lower bound in every iteration of every game, for every rule and step size."""
    problems = _problems(settings, settings.num_agents, settings.num_actions)
    improvement, bound = [], []
    for rule, (schedule, clip) in settings.rules.items():
        say(f"improvement: {rule}")
        several = [
            courses(
                problems,
                Hypers(factor_clip=clip, kl_threshold=kl),
                num_iterations=settings.iterations,
                schedule=schedule,
            )
            for kl in settings.kl_thresholds
        ]
        improvement.append([np.diff(np.asarray(course.expected_return), axis=1) for course in several])
        bound.append([np.asarray(course.improvement_bound) for course in several])
    dims = ("rule", "kl_threshold", "game", "iteration")
    coordinates = {
        "rule": list(settings.rules),
        "kl_threshold": list(settings.kl_thresholds),
        "iteration": np.arange(1, settings.iterations + 1),
    }
    variables = {"improvement": (dims, np.array(improvement)), "bound": (dims, np.array(bound))}
    return xr.Dataset(
        variables, coordinates, _attributes(settings, num_agents=settings.num_agents, num_actions=settings.num_actions)
    )


def measure_gap(settings: TheorySettings, say: Say) -> xr.Dataset:
    """Nash gap against iterations for both kinds of steps and every rule, at iterations evenly spaced in their log."""
    problems = _problems(settings, settings.num_agents, settings.num_actions)
    kept = log_spaced(settings.gap_iterations)
    gap, final = [], []
    for name, agent_update in AGENT_UPDATES.items():
        several = []
        for rule, (schedule, clip) in settings.rules.items():
            say(f"nash_gap: {name}, {rule}")
            hypers = Hypers(clip, kl_threshold=settings.gap_kl_threshold, learning_rate=settings.learning_rate)
            several.append(
                courses(
                    problems,
                    hypers,
                    num_iterations=settings.gap_iterations,
                    agent_update=agent_update,
                    schedule=schedule,
                )
            )
        gap.append([np.asarray(course.nash_gap)[:, kept] for course in several])
        final.append([np.asarray(course.expected_return)[:, -1] for course in several])
    dims = ("agent_update", "rule", "game")
    coordinates = {"agent_update": list(AGENT_UPDATES), "rule": list(settings.rules), "iteration": kept}
    variables = {"gap": ((*dims, "iteration"), np.array(gap)), "expected_return": (dims, np.array(final))}
    own = {"num_agents": settings.num_agents, "num_actions": settings.num_actions}
    own |= {"kl_threshold": settings.gap_kl_threshold, "learning_rate": settings.learning_rate}
    return xr.Dataset(variables, coordinates, _attributes(settings, **own))


STUDIES = {
    "variance": (measure_variance, report_variance),
    "improvement": (measure_improvement, report_improvement),
    "nash_gap": (measure_gap, report_gap),
}


def run_studies(names: Sequence[str], settings: TheorySettings, directory: Path, say: Say = print) -> list[Path]:
    """Measure, and write tables, datasets and figures, all made before the first is written.

    Args:
        names: of `STUDIES`.
        say: is told what is under way.
    Returns:
        The files; `<study>.md` is the report.
    Raises:
        SettingsError: no such study.
        RunError: the disk refuses.
    """
    for name in names:
        if name not in STUDIES:
            raise SettingsError(f"study = {name!r} is not one of {', '.join(STUDIES)}")
    use_compilation_cache()
    files: dict[str, bytes] = {}
    figures: dict[str, Figure] = {}
    for name in dict.fromkeys(names):
        measure, report = STUDIES[name]
        with float64():
            study = measure(settings, say)
        made = report(study)
        files |= made.files
        figures |= made.figures
    return write_results(directory, files, figures)


def _text(value: float) -> str:
    """All digits of a float64, as a label that no other value has."""
    return str(float(value)).removesuffix(".0")


def _problems(settings: TheorySettings, num_agents: int, num_actions: int) -> Problems:
    return random_problems(settings.seed, settings.games, num_agents, settings.num_states, num_actions, settings.gamma)


def _attributes(settings: TheorySettings, **own: Any) -> dict[str, Any]:
    """What the games of a dataset were drawn with; `own` comes last."""
    return {"num_states": settings.num_states, "gamma": settings.gamma, "seed": settings.seed} | own
