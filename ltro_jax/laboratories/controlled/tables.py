"""The controlled measurement on the policies of finished runs: its table, and its report as Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ltro_jax.analysis.tables import markdown_table
from ltro_jax.config import SettingsError
from ltro_jax.config.studies import TheorySettings
from ltro_jax.laboratories.controlled.measure import Draws, Enumeration, make_controlled
from ltro_jax.laboratories.controlled.moments import agreement, second_moments, weighted_variances, within_two_errors
from ltro_jax.laboratories.controlled.rules import rule_cells, rule_table
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.load import Run
from ltro_jax.training import make_train

MEASUREMENT = 2**31  # far from the small numbers that split a member's key into those of its training
WEIGHTS = ("raw", "used")  # R, and min(R, c)

INTRODUCTION = """\
# Controlled measurement

π and π' are fixed, the situations are fixed, and fresh actions are drawn from π. The table compares the mean of R² over
the draws with E_s Π(1 + χ²), where R is the product of the ratios of the first m ≥ 1 agents. `within`: the exact value
is within two standard errors, estimated from the same draws. `needed`: draws for a relative standard error of 10 %,
from E[R⁴].
"""
RULES = """\
Bias E[w·A] − E[R·A] and standard deviation of w·A for each weight w of the factor, by enumeration, in units of the
standard deviation of A. Last position, median over seeds; the file `controlled_rules.csv` has every position and seed.
self_normalised is a ratio estimator: its values are those of many samples.
"""


class Controlled(NamedTuple):
    """The tables of the controlled measurement of a run."""

    moments: pd.DataFrame  # a row for each healthy seed and number of preceding agents
    rules: pd.DataFrame | None  # a row for each seed, weight of the factor and position; None if not enumerable


def controlled_table(run: Run, num_situations: int = 256, num_draws: int = 65_536, num_updates: int = 1) -> Controlled:
    """Measure each member's newest policy π against the policy π' some updates later; the run itself does not change.

    Args:
        num_situations: fixed moments of play, visited by π.
        num_draws: fresh pairs of a situation and a joint action.
        num_updates: from π to π'.
    Returns:
        `moments`: a row for each healthy seed and number of preceding agents, m = 0 … N, with the columns of
        `second_moments`. If joint actions can be enumerated, also `raw_…` and `used_…` of `weighted_variances`, which
        are NaN at m = N, and `rules`: the columns of `rule_table` for the weights of `TheorySettings`.
    Raises:
        SettingsError: fewer than 1 situation, 2 draws or 1 update; or every seed is frozen.
        RunError: the run has no intact checkpoint.
    """
    if num_situations < 1 or num_draws < 2 or num_updates < 1:
        raise SettingsError(
            f"{num_situations} situations, {num_draws} draws and {num_updates} updates are too few; a measurement "
            "needs at least 1, 2 and 1"
        )
    use_compilation_cache()
    restored, program = run.restore(), make_train(run.config)
    measure = jax.jit(make_controlled(program.parts, num_situations, num_draws, num_updates))
    failed_at = np.asarray(restored.state.failed_at)
    if (failed_at >= 0).all():
        raise SettingsError(
            f"every seed of {run.path} is frozen, so no update changes its policy; train with a smaller actor_lr"
        )
    tables, by_rule = [], []
    for index in np.flatnonzero(failed_at < 0):
        member = run.config.members[index]
        state = jax.tree.map(lambda leaf, i=index: leaf[i], restored.state)
        measurement_key = jax.random.fold_in(jax.random.key(member.seed), MEASUREMENT)
        key = jax.random.fold_in(measurement_key, restored.iteration)
        measured = jax.device_get(measure(key, state, jax.tree.map(jnp.float32, member.hypers)))
        moments = moment_table(*measured, factor_clip=float(member.hypers.factor_clip))
        labels = {"seed": member.seed, "iteration": restored.iteration, "updates": num_updates}
        tables.append(moments.assign(**labels))
        if (enumeration := measured[1]) is not None:
            by_rule.append(rule_table(enumeration, TheorySettings().weights).assign(**labels))
    static, num_agents = run.config.static, program.parts.spec.num_agents
    of_run = {"task": static.task, "algorithm": static.algorithm, "agents": num_agents}
    return Controlled(_joined(tables, of_run), _joined(by_rule, of_run) if by_rule else None)


def _joined(tables: Sequence[pd.DataFrame], of_run: Mapping[str, object]) -> pd.DataFrame:
    """The tables of all seeds, with what identifies a row in the first columns."""
    table = pd.concat(tables, ignore_index=True).assign(**of_run)
    first = [*of_run, "seed", "iteration", "updates", "agents_before"]
    return table.reindex(columns=[*first, *table.columns.difference(first, sort=False)])


def moment_table(draws: Draws, enumeration: Enumeration | None, factor_clip: float) -> pd.DataFrame:
    """A row for each number of preceding agents, in the column `agents_before`; others as in `controlled_table`."""
    columns = second_moments(draws.log_second, draws.log_fourth, draws.log_factor)
    if enumeration is not None and draws.joint_action is not None:
        samples = {"situation": draws.situation, "joint_action": draws.joint_action}
        for weight, clip in zip(WEIGHTS, (math.inf, factor_clip), strict=True):
            variances = weighted_variances(**enumeration._asdict(), **samples, factor_clip=clip)
            columns |= {f"{weight}_{name}": np.append(values, np.nan) for name, values in variances.items()}
    return pd.DataFrame(columns).rename_axis("agents_before").reset_index()


def controlled_markdown(controlled: Mapping[str, Controlled]) -> str:
    """How far the estimates agree with the exact values, by their size; and what could be enumerated.

    Args:
        controlled: label → `controlled_table`.
    """
    tables = {label: of_run.moments for label, of_run in controlled.items()}
    by_size = agreement(pd.concat(tables.values()))
    parts = [
        INTRODUCTION,
        markdown_table(_agreement_cells(by_size)),
        "Largest exact E[R²] of each run, and its estimate from the draws:\n",
        markdown_table(pd.DataFrame([_largest(label, table) for label, table in tables.items()])),
    ]
    enumerated = [_variance_cells(label, table) for label, table in tables.items() if "raw_exact" in table]
    if enumerated:
        parts += [
            "Variance of min(R, c)·A in units of Var(A): estimates from the draws, and exact values by enumeration.\n",
            markdown_table(pd.concat(enumerated), form=".4f"),
        ]
    by_rule = [rule_cells(label, of_run.rules) for label, of_run in controlled.items() if of_run.rules is not None]
    if by_rule:
        parts += [RULES, markdown_table(pd.concat(by_rule), form=".4f")]
    return "\n".join(parts)


def _agreement_cells(by_size: pd.DataFrame) -> pd.DataFrame:
    """The table of `agreement` in words."""
    return pd.DataFrame(
        {
            "exact E[R²]": [f"{low:g}–{high:g}" for low, high in zip(by_size["low"], by_size["high"], strict=True)],
            "cases": by_size["cases"],
            "within": by_size["within"].map("{:.0%}".format),
            "below the exact value": by_size["below"].map("{:.0%}".format),
            "median of estimate / exact": by_size["ratio"].map("{:.3f}".format),
            "needed (median)": by_size["draws_needed"],
        }
    )


def _largest(label: str, table: pd.DataFrame) -> dict[str, object]:
    """The row with the largest exact E[R²]."""
    row = table.loc[table["exact"].idxmax()]
    return {
        "run": label,
        "seed": int(row["seed"]),
        "agents before": int(row["agents_before"]),
        "exact": f"{row['exact']:.4g}",
        "estimate ± standard error": f"{row['estimate']:.4g} ± {row['standard_error']:.2g}",
        "needed": float(row["draws_needed"]),
    }


def _variance_cells(label: str, table: pd.DataFrame) -> pd.DataFrame:
    """Medians over seeds for each position and weight."""
    rows = []
    for before, seeds in table.dropna(subset="raw_exact").groupby("agents_before"):
        for weight in WEIGHTS:
            names = [f"{weight}_{name}" for name in ("exact", "estimate", "standard_error")]
            exact, estimate, error = seeds[names].to_numpy(float).T
            agreeing = f"{within_two_errors(exact, estimate, error).sum()} of {len(seeds)}"
            rows.append((label, before, weight, np.median(exact), np.median(estimate), agreeing))
    columns = ["run", "agents before", "weight", "exact", "estimate", "within two standard errors"]
    return pd.DataFrame(rows, columns=columns)
