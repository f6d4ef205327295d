"""The exact studies: measure the paper's claims on random games, from settings to labelled datasets and files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.results import write_results
from ltro_jax.config import SettingsError
from ltro_jax.config.studies import VARIANCE_ACTIONS, TheorySettings
from ltro_jax.laboratories.games import GameHypers, exact_gradient_step, exact_trust_region_step, float64
from ltro_jax.laboratories.games.problems import Problems, courses, random_problems, weight_moments
from ltro_jax.laboratories.games.rates import log_spaced
from ltro_jax.laboratories.games.reports import report_gap, report_improvement, report_variance
from ltro_jax.laboratories.games.tables import MOMENTS
from ltro_jax.runs.compilation_cache import use_compilation_cache

AGENT_UPDATES = {"gradient_step": exact_gradient_step, "trust_region_step": exact_trust_region_step}

Say = Callable[[str], None]


def measure_variance(settings: TheorySettings, say: Say) -> xr.Dataset:
    """Moments of one trust-region update of each game, for every step size, clamp and number of agents."""
    sizes = (len(settings.kl_thresholds), len(settings.factor_clips), settings.games)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in MOMENTS}
    for agents in settings.agents:
        say(f"variance: {agents} agents")
        problems = _problems(settings, agents, VARIANCE_ACTIONS)
        found = [
            [weight_moments(problems, GameHypers(factor_clip=clip, kl_threshold=kl)) for clip in settings.factor_clips]
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
                GameHypers(factor_clip=clip, kl_threshold=kl),
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
            hypers = GameHypers(clip, kl_threshold=settings.gap_kl_threshold, learning_rate=settings.learning_rate)
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


MEASURES = {
    "variance": (measure_variance, report_variance),
    "improvement": (measure_improvement, report_improvement),
    "nash_gap": (measure_gap, report_gap),
}


def run_studies(names: Sequence[str], settings: TheorySettings, directory: Path, say: Say = print) -> list[Path]:
    """Measure, and write tables, datasets and figures, all made before the first is written.

    Args:
        names: of `MEASURES`.
        say: is told what is under way.
    Returns:
        The files; `<study>.md` is the report.
    Raises:
        SettingsError: no such study.
        RunError: the disk refuses.
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
        made = report(study)
        files |= made.files
        figures |= made.figures
    return write_results(directory, files, figures)


def _problems(settings: TheorySettings, num_agents: int, num_actions: int) -> Problems:
    return random_problems(settings.seed, settings.games, num_agents, settings.num_states, num_actions, settings.gamma)


def _attributes(settings: TheorySettings, **own: Any) -> dict[str, Any]:
    """What the games of a dataset were drawn with; `own` comes last."""
    return {"num_states": settings.num_states, "gamma": settings.gamma, "seed": settings.seed} | own
