"""Bias and variance of every weight of the factor between two policies of a run, by enumeration."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ltro_jax.laboratories.controlled.measure import Enumeration
from ltro_jax.laboratories.games import Factors, float64, rule_moments


def rule_table(enumeration: Enumeration, weights: Mapping[str, tuple[str, float]]) -> pd.DataFrame:
    """A row for each weight and number of preceding agents, m = 0 … N − 1.

    Args:
        enumeration: of F equally likely situations.
        weights: label → factor rule and its parameter.
    Returns:
        Columns `weight`, `rule`, `parameter`, `agents_before`, `bias` in units of the standard deviation of A, and
        `variance` of a sample in units of Var(A).
    Raises:
        ValueError: the advantage is the same for all actions, so there is no unit.
    """
    rows = []
    with float64():
        factors, advantage = _factors(enumeration)
        situations = jnp.full(len(advantage), 1.0 / len(advantage))
        unit = float(rule_moments(factors, advantage, situations, "none", np.nan).variance[0])
        if not unit > 0:
            raise ValueError("the advantage of every action is 0 in these situations, so there is no unit of variance")
        for label, (rule, parameter) in weights.items():
            bias, variance = jax.device_get(rule_moments(factors, advantage, situations, rule, parameter))
            columns = {"weight": label, "rule": rule, "parameter": parameter, "agents_before": np.arange(len(bias))}
            rows.append(pd.DataFrame(columns | {"bias": bias / np.sqrt(unit), "variance": variance / unit}))
    return pd.concat(rows, ignore_index=True)


def rule_cells(label: str, table: pd.DataFrame) -> pd.DataFrame:
    """Medians over seeds at the last position, a row for each weight.

    Args:
        label: of the run.
        table: `rule_table` of each seed, with the column `seed`.
    """
    before = table["agents_before"].to_numpy(int).max()
    last = table.query("agents_before == @before")
    rows = [
        (label, before, weight, np.median(seeds["bias"]), np.median(np.sqrt(seeds["variance"])))
        for weight, seeds in last.groupby("weight", sort=False)
    ]
    return pd.DataFrame(rows, columns=["run", "agents before", "weight", "bias", "standard deviation"])


def _factors(enumeration: Enumeration) -> tuple[Factors, jax.Array]:
    """The enumeration as factors of a game whose states are the situations, and its advantage; float64."""
    log_joint, log_factor, advantage = (jnp.asarray(x, jnp.float64) for x in enumeration)
    log_factor = jnp.moveaxis(log_factor, -1, 0)
    return Factors(log_joint, jnp.diff(log_factor, axis=0), log_factor), advantage
