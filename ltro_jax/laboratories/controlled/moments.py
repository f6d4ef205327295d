"""Estimates of the factor's moments from fresh actions, compared with the exact moments.

With situations s and fresh actions a of the old policy,

    E[R²] = E_s Π_k (1 + χ²_k(s)),    Var[mean of R² over K draws] = (E_s Π_k E_π[r_k⁴] − E[R²]²) / K

The fourth moment grows much faster than the second: for a log-normal R with E[R²] = p the relative variance of R² is
p⁴ − 1. Beyond p ≈ 2 the mean depends on rare large draws that a sample of this size rarely contains: the estimate is
nearly always too low, and the standard error, estimated from the same draws, does not show it.
"""

from collections.abc import Mapping
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from ltro_jax.analysis.statistics import Array
from ltro_jax.analysis.style import COLOURS, STYLE, legend

BANDS = (1.0, 1.5, 2.0, 4.0, 10.0, np.inf)  # of the exact E[R²], for `agreement`
TARGET_ERROR = 0.1  # relative standard error that `draws_needed` reaches


def second_moments(log_second: ArrayLike, log_fourth: ArrayLike, log_factor: ArrayLike) -> dict[str, Array]:
    """Mean of R² over the draws, and its exact value, after m = 0 … N agents.

    Args:
        log_second, log_fourth: `[F, N+1]` log moments of R in each of F equally likely situations.
        log_factor: `[K, N+1]` log R of K draws.
    Returns:
        `[N+1]` each: `exact`; `estimate`; `standard_error`, estimated from the draws; `exact_error`, its exact value;
        `draws_needed` for a relative standard error of 10 %. ∞ where a moment does not exist.
    """
    factor = np.asarray(log_factor, np.float64)
    num_draws = len(factor)
    log_exact, log_fourth = (_log_mean(x) for x in (log_second, log_fourth))
    with np.errstate(over="ignore", invalid="ignore"):
        relative_variance = np.where(np.isinf(log_fourth), np.inf, np.expm1(log_fourth - 2.0 * log_exact))
        relative_variance = np.maximum(relative_variance, 0.0)  # of a constant: rounding
        exact, squares = np.exp(log_exact), np.exp(2.0 * factor)
        estimate = squares.mean(0)
        return {
            "exact": exact,
            "estimate": estimate,
            "standard_error": np.where(np.isinf(estimate), np.inf, squares.std(0, ddof=1) / np.sqrt(num_draws)),
            "exact_error": exact * np.sqrt(relative_variance / num_draws),
            "draws_needed": relative_variance / TARGET_ERROR**2,
        }


def weighted_variances(
    log_joint: ArrayLike,
    log_factor: ArrayLike,
    advantage: ArrayLike,
    situation: ArrayLike,
    joint_action: ArrayLike,
    factor_clip: float,
) -> dict[str, Array]:
    """Variance of min(R, c)·A at each position, from the draws and by enumeration, in units of Var(A).

    Args:
        log_joint, advantage: `[F, J]`; log_factor: `[F, J, N+1]`.
        situation, joint_action: `[K]`, the draws.
        factor_clip: c in (0, ∞].
    Returns:
        `[N]` each: `exact`, `estimate`, `standard_error`, estimated from the draws.
    Raises:
        ValueError: the advantage is the same for all actions, so there is no unit.
    """
    advantage = np.asarray(advantage, np.float64)
    probability = np.exp(np.asarray(log_joint, np.float64)) / len(advantage)
    scale = np.sqrt(np.sum(probability * advantage**2))
    if not scale > 0:
        raise ValueError("the advantage of every action is 0 in these situations, so there is no unit of variance")
    weight = np.minimum(np.exp(np.asarray(log_factor, np.float64)[..., :-1]), factor_clip)
    weighted = weight * (advantage / scale)[..., None]  # [F, J, N]
    mean = np.einsum("fj,fjn->n", probability, weighted)
    drawn = weighted[np.asarray(situation), np.asarray(joint_action)]
    centred = drawn - drawn.mean(0)
    second = np.mean(centred**2, 0)
    return {
        "exact": np.einsum("fj,fjn->n", probability, (weighted - mean) ** 2),
        "estimate": second * len(drawn) / (len(drawn) - 1),
        "standard_error": np.sqrt(np.maximum(np.mean(centred**4, 0) - second**2, 0.0) / len(drawn)),
    }


def within_two_errors(exact: ArrayLike, estimate: ArrayLike, standard_error: ArrayLike) -> NDArray[np.bool_]:
    """Whether each exact value is within two standard errors of its estimate."""
    distance = np.abs(np.asarray(estimate, float) - np.asarray(exact, float))
    return np.asarray(distance <= 2.0 * np.asarray(standard_error, float))


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How often the mean of R² is within two standard errors of its exact value, by the size of E[R²].

    Args:
        table: columns `exact`, `estimate`, `standard_error` and `draws_needed`.
    Returns:
        A row for each band with at least one case: `low`, `high`, `cases`, `within` (share, by the standard error
        from the same draws), `below` (share of estimates below the exact value), `ratio` (median of estimate / exact),
        `draws_needed` (median).
    """
    cases = table.assign(
        within=within_two_errors(table["exact"], table["estimate"], table["standard_error"]),
        below=table["estimate"] < table["exact"],
        ratio=table["estimate"] / table["exact"],
    )
    rows = []
    for low, high in pairwise(BANDS):
        band = cases.query("@low < exact <= @high")
        if len(band):
            shares = {name: np.mean(band[name]) for name in ("within", "below")}
            medians = {name: np.median(band[name]) for name in ("ratio", "draws_needed")}
            rows.append({"low": low, "high": high, "cases": len(band)} | shares | medians)
    return pd.DataFrame(rows, columns=["low", "high", "cases", "within", "below", "ratio", "draws_needed"])


def agreement_figure(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Estimate / exact against the exact value, with error bars from the same draws; a point for each row.

    Args:
        tables: label → columns `exact`, `estimate`, `standard_error`.
        title: one line above the plot.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        reach, largest = 0.02, 1.0
        for index, (label, table) in enumerate(tables.items()):
            exact, estimate, error = table[["exact", "estimate", "standard_error"]].to_numpy(float).T
            ratio, bar = estimate / exact, 2.0 * error / exact
            colour = COLOURS[index % len(COLOURS)]
            axes.errorbar(
                exact, ratio, bar, color=colour, label=label, fmt="o", markersize=3.5, linewidth=0.8, alpha=0.7
            )
            finite = np.isfinite(exact) & np.isfinite(ratio)
            reach = max(reach, np.max(np.abs(ratio - 1.0) + bar, where=finite, initial=0.0))
            largest = max(largest, np.max(exact, where=finite, initial=1.0))
        axes.axhline(1.0, color="0.35", linewidth=1.2)
        reach = min(reach, 1.05)
        axes.set(
            xscale="log" if largest > 5.0 else "linear",
            ylim=(1.0 - reach, 1.0 + reach),
            xlabel=r"exact $E_s \prod_k (1 + \chi^2_k)$",
            ylabel=r"mean of $R^2$ / exact",
            title=title,
        )
        legend(figure, columns=2)
    return figure


def _log_mean(log_values: ArrayLike) -> Array:
    values = np.asarray(log_values, np.float64)
    return np.asarray(logsumexp(values, axis=0) - np.log(len(values)))
