"""The exact studies: measure the paper's claims on random games, and write labelled datasets, tables and plots."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.results import write_results
from ltro_jax.config import SettingsError
from ltro_jax.config.studies import VARIANCE_ACTIONS, TheorySettings
from ltro_jax.laboratories.games import GameHypers, exact_gradient_step, exact_trust_region_step, float64
from ltro_jax.laboratories.games.problems import Problems, courses, moments_by_rule, random_problems, weight_moments
from ltro_jax.laboratories.games.rates import log_spaced
from ltro_jax.laboratories.games.reports import (
    report_factor_rules,
    report_gap,
    report_improvement,
    report_variance,
)
from ltro_jax.laboratories.games.tables import MOMENTS
from ltro_jax.laboratories.games.weights import RuleMoments
from ltro_jax.runs.compilation_cache import use_compilation_cache

AGENT_UPDATES = {  # name in tables and datasets → step
    "gradient_step": exact_gradient_step,
    "trust_region_step": exact_trust_region_step,
}

Say = Callable[[str], None]


def measure_variance(settings: TheorySettings, say: Say) -> xr.Dataset:
    """Moments of one trust-region update of each game, for every step size, clamp and number of agents."""
    sizes = (len(settings.kl_thresholds), len(settings.factor_clips), settings.games)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in MOMENTS}
    for agents in settings.agents:
        say(f"variance: {agents} agents")
        problems = _problems(settings, agents, VARIANCE_ACTIONS)
        measured = [
            [weight_moments(problems, GameHypers(factor_clip=clip, kl_threshold=kl)) for clip in settings.factor_clips]
            for kl in settings.kl_thresholds
        ]
        for name in MOMENTS:
            column = np.array([[getattr(moments, name) for moments in line] for line in measured])
            columns[name].append(column.reshape(*sizes, agents))
    dims = ("kl_threshold", "factor_clip", "game", "place")
    coordinates = {
        "kl_threshold": list(settings.kl_thresholds),
        "factor_clip": list(settings.factor_clips),
    } | _places(settings)
    variables = {name: (dims, np.concatenate(column, axis=-1)) for name, column in columns.items()}
    return xr.Dataset(variables, coordinates, _attributes(settings, num_actions=VARIANCE_ACTIONS))


def measure_factor_rules(settings: TheorySettings, say: Say) -> xr.Dataset:
    """Bias and variance of each weight of the factor, on one trust-region update of each game without a clamp."""
    labels, weights = list(settings.weights), settings.weights.values()
    rules, parameters = (tuple(column) for column in zip(*weights, strict=True))
    columns: dict[str, list[np.ndarray]] = {name: [] for name in RuleMoments._fields}
    for agents in settings.agents:
        say(f"factor_rules: {agents} agents")
        problems = _problems(settings, agents, VARIANCE_ACTIONS)
        measured = [
            moments_by_rule(problems, GameHypers(math.inf, kl), np.array(parameters), rules=rules)
            for kl in settings.kl_thresholds
        ]
        for name, column in columns.items():
            column.append(np.array([getattr(moments, name) for moments in measured]))
    dims = ("kl_threshold", "weight", "game", "place")
    coordinates = {
        "kl_threshold": list(settings.kl_thresholds),
        "weight": labels,
        "rule": ("weight", list(rules)),
        "parameter": ("weight", list(parameters)),
    } | _places(settings)
    variables = {name: (dims, np.concatenate(column, axis=-1)) for name, column in columns.items()}
    attributes = _attributes(settings, num_actions=VARIANCE_ACTIONS)
    return xr.Dataset(variables, coordinates, attributes | {"num_samples": list(settings.num_samples)})


def measure_improvement(settings: TheorySettings, say: Say) -> xr.Dataset:
    """J(π') − J(π) and its lower bound at every iteration of every game, for every rule and step size."""
    problems = _problems(settings, settings.num_agents, settings.num_actions)
    improvement, bound = [], []
    for rule, (schedule, clip) in settings.rules.items():
        say(f"improvement: {rule}")
        by_step_size = [
            courses(
                problems,
                GameHypers(factor_clip=clip, kl_threshold=kl),
                num_iterations=settings.iterations,
                schedule=schedule,
            )
            for kl in settings.kl_thresholds
        ]
        improvement.append([np.diff(np.asarray(course.expected_return), axis=1) for course in by_step_size])
        bound.append([np.asarray(course.improvement_bound) for course in by_step_size])
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
        by_rule = []
        for rule, (schedule, clip) in settings.rules.items():
            say(f"nash_gap: {name}, {rule}")
            hypers = GameHypers(clip, kl_threshold=settings.gap_kl_threshold, learning_rate=settings.learning_rate)
            by_rule.append(
                courses(
                    problems,
                    hypers,
                    num_iterations=settings.gap_iterations,
                    agent_update=agent_update,
                    schedule=schedule,
                )
            )
        gap.append([np.asarray(course.nash_gap)[:, kept] for course in by_rule])
        final.append([np.asarray(course.expected_return)[:, -1] for course in by_rule])
    dims = ("agent_update", "rule", "game")
    coordinates = {"agent_update": list(AGENT_UPDATES), "rule": list(settings.rules), "iteration": kept}
    variables = {"gap": ((*dims, "iteration"), np.array(gap)), "expected_return": (dims, np.array(final))}
    sizes = {"num_agents": settings.num_agents, "num_actions": settings.num_actions}
    steps = {"kl_threshold": settings.gap_kl_threshold, "learning_rate": settings.learning_rate}
    return xr.Dataset(variables, coordinates, _attributes(settings, **sizes, **steps))


MEASURES = {
    "variance": (measure_variance, report_variance),
    "factor_rules": (measure_factor_rules, report_factor_rules),
    "improvement": (measure_improvement, report_improvement),
    "nash_gap": (measure_gap, report_gap),
}


def run_studies(names: Sequence[str], settings: TheorySettings, directory: Path, say: Say = print) -> list[Path]:
    """Measure, and write tables, datasets and plots; everything is computed before the first file is written.

    Args:
        names: keys of `MEASURES`.
        directory: for the files; created if necessary.
        say: called with a sentence when a measurement starts.
    Returns:
        The paths of all files; `<study>.md` is the report.
    Raises:
        SettingsError: a name is unknown.
        RunError: a file cannot be written.
    """
    for name in names:
        if name not in MEASURES:
            raise SettingsError(f"study = {name!r} is not one of {', '.join(MEASURES)}")
    use_compilation_cache()
    files: dict[str, bytes] = {}
    figures: dict[str, Figure] = {}
    for name in dict.fromkeys(names):
        measure, report = MEASURES[name]
        with float64():
            study = measure(settings, say)
        reported = report(study)
        files |= reported.files
        figures |= reported.figures
    return write_results(directory, files, figures)


def _problems(settings: TheorySettings, num_agents: int, num_actions: int) -> Problems:
    return random_problems(settings.seed, settings.games, num_agents, settings.num_states, num_actions, settings.gamma)


def _places(settings: TheorySettings) -> dict[str, tuple[str, np.ndarray]]:
    """Coordinates of the dimension `place`: every position of every number of agents."""
    positions = np.concatenate([np.arange(1, agents + 1) for agents in settings.agents])
    return {"agents": ("place", np.repeat(settings.agents, settings.agents)), "position": ("place", positions)}


def _attributes(settings: TheorySettings, **others: float) -> dict[str, float]:
    """Settings that the games of a dataset were drawn with, and `others`."""
    return {"num_states": settings.num_states, "gamma": settings.gamma, "seed": settings.seed, **others}
