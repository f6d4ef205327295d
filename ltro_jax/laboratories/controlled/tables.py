"""The controlled measurement on the policies of finished runs: rows, tables and a figure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.config import SettingsError
from ltro_jax.laboratories.controlled.measure import make_controlled
from ltro_jax.laboratories.controlled.moments import agreement, second_moments, weighted_variances
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.load import Run
from ltro_jax.training import make_train

Rows = list[dict[str, Any]]
MEASUREMENT = 2**31  # far from the small numbers that split a member's key into those of its training

INTRODUCTION = """\
# Controlled measurement

π and π' fixed, situations frozen, fresh actions of π. The mean of R² over the draws, where R is the
product of the ratios of the first m ≥ 1 agents, against E_s Π(1 + χ²). `within`: two standard errors of the draws
themselves reach the truth. `needed`: draws for a relative standard error of 10 %, from E[R⁴].

| exact E[R²] | cases | within | below the truth | median of estimate / exact | needed (median) |
|---|---|---|---|---|---|
"""


def controlled_rows(run: Run, num_situations: int = 256, num_draws: int = 65_536, num_updates: int = 1) -> Rows:
    """π is each member's newest checkpoint, π' the same some updates later; nothing of the run is changed.

    Args:
        num_situations: frozen moments of play, visited by π.
        num_draws: fresh pairs of a situation and joint action.
        num_updates: from π to π'.
    Returns:
        A row for each seed that is not frozen and number of agents before, m = 0 … N: the figures of `second_moments`
        and, where joint actions can be enumerated and m < N, `raw_…` and `used_…` of `weighted_variances`.
    Raises:
        SettingsError: fewer than 1 situation, 2 draws or 1 update; or every seed is frozen, and updates change nothing.
        RunError: no intact checkpoint.
    """
    if num_situations < 1 or num_draws < 2 or num_updates < 1:
        raise SettingsError(
            f"{num_situations} situations, {num_draws} draws and {num_updates} updates are too few; a measurement "
            "needs at least 1, 2 and 1"
        )
    use_compilation_cache()
    restored, program = run.restore(), make_train(run.config)
    measure = jax.jit(make_controlled(program.parts, num_situations, num_draws, num_updates))
    rows: Rows = []
    failed_at = np.asarray(restored.state.failed_at)
    if (failed_at >= 0).all():
        raise SettingsError(
            f"every seed of {run.path} is frozen, so that no update changes its policy; train with a smaller actor_lr"
        )
    for index, member in enumerate(run.config.members):
        if failed_at[index] >= 0:
            continue
        state = jax.tree.map(lambda leaf, i=index: leaf[i], restored.state)
        own_key = jax.random.fold_in(jax.random.key(member.seed), MEASUREMENT)
        key = jax.random.fold_in(own_key, restored.iteration)
        hypers = jax.tree.map(jnp.float32, member.hypers)
        draws, enumeration = jax.device_get(measure(key, state, hypers))
        columns = second_moments(draws.log_second, draws.log_fourth, draws.log_factor)
        if enumeration is not None:
            drawn = {"situation": draws.situation, "joint_action": draws.joint_action}
            for name, clip in {"raw": math.inf, "used": float(member.hypers.factor_clip)}.items():
                found = weighted_variances(**enumeration._asdict(), **drawn, factor_clip=clip)
                columns |= {f"{name}_{kind}": np.append(values, np.nan) for kind, values in found.items()}
        for before in range(program.parts.spec.num_agents + 1):
            row = {
                "task": run.config.static.task,
                "algorithm": run.config.static.algorithm,
                "agents": program.parts.spec.num_agents,
                "seed": member.seed,
                "iteration": restored.iteration,
                "updates": num_updates,
                "agents_before": before,
            }
            rows.append(row | {name: float(values[before]) for name, values in columns.items()})
    return rows


def controlled_markdown(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """How far the estimates agree with the truth, by its size; and the variances where they could be enumerated."""
    everything = [row for of_run in rows.values() for row in of_run]
    lines: list[str] = [*INTRODUCTION.splitlines()]
    for band in agreement(everything):
        lines.append(
            f"| {band['low']:g}–{band['high']:g} | {band['cases']} | {band['within']:.0%} | {band['below']:.0%} "
            f"| {band['ratio']:.3f} | {band['draws_needed']:.3g} |"
        )
    lines += ["", "Largest exact E[R²] of each run and what the draws made of it:", ""]
    lines += [
        "| run | seed | agents before | exact | estimate ± standard error | needed |",
        "|---|---|---|---|---|---|",
    ]
    for label, of_run in rows.items():
        worst = max(of_run, key=lambda row: row["exact"])
        lines.append(
            f"| {label} | {worst['seed']} | {worst['agents_before']} | {worst['exact']:.4g} "
            f"| {worst['estimate']:.4g} ± {worst['standard_error']:.2g} | {worst['draws_needed']:.3g} |"
        )
    enumerated = {
        label: [row for row in of_run if not math.isnan(row.get("raw_exact", math.nan))]
        for label, of_run in rows.items()
    }
    if any(enumerated.values()):
        lines += ["", "Variance of min(R, c)·A in units of Var(A): draws against every joint action enumerated.", ""]
        lines += ["| run | agents before | weight | exact | estimate | within two standard errors |"]
        lines += ["|---|---|---|---|---|---|"]
        for label, of_run in enumerated.items():
            lines += _variance_lines(label, of_run)
    return "\n".join(lines) + "\n"


def _variance_lines(label: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Medians over seeds for each position."""
    lines = []
    for before in sorted({row["agents_before"] for row in rows}):
        of_position = [row for row in rows if row["agents_before"] == before]
        for name in ("raw", "used"):
            exact, estimate, error = (
                np.array([row[f"{name}_{kind}"] for row in of_position])
                for kind in ("exact", "estimate", "standard_error")
            )
            within = int(np.sum(np.abs(estimate - exact) <= 2.0 * error))
            lines.append(
                f"| {label} | {before} | {name} | {np.median(exact):.4f} | {np.median(estimate):.4f} "
                f"| {within} of {len(exact)} |"
            )
    return lines
