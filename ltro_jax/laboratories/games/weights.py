"""Bias and variance of the advantage under each weight of the factor, by enumeration.

An update needs E_π[R·A], with R the factor of the agents before. A rule estimates it by the mean of w·A over n samples,
where w is a function of the ratios. With μ = E_π[w·A],

    bias = μ − E_π[R·A],   variance = Var_π(w·A),   mean squared error = bias² + variance / n

The rule `self_normalised` is a ratio of two means, Σ R·A / Σ R. Its values are those of large n: μ = E_π[R·A] / E_π[R],
so that the bias is 0 because E_π[R] = 1, and variance = E_π[R² (A − μ)²] / E_π[R]² by the delta method. For finite n
its bias is of order 1/n, and its variance / n has an error of order 1/n².
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.factors import Factors, expectation
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.ops import clamped_factor, clamped_term, powered_factor, two_sided_factor
from ltro_jax.types import Array


class RuleMoments(NamedTuple):
    """Bias and variance of the weighted advantage at each position."""

    bias: Array  # [N], in units of A
    variance: Array  # [N] ≥ 0, of one sample, in units of A²


def log_product_before(log_ratio: Array) -> Array:
    """Log of the product over the agents before each position, 0 at the first; `[N, S, J]` → `[N, S, J]`."""
    return jnp.concatenate([jnp.zeros_like(log_ratio[:1]), jnp.cumsum(log_ratio[:-1], axis=0)])


def raw_factor(factors: Factors) -> Array:
    """R up to `MAX_RATIO`, as in training; `[N, S, J]`."""
    return clamped_factor(factors.log_factor[:-1], jnp.inf)


# Rule → its weights `[N, S, J]` from the factors and the rule's parameter, with the functions that training calls.
FACTOR_WEIGHTS: dict[str, Callable[[Factors, Array | float], Array]] = {
    "clamp": lambda factors, clip: clamped_factor(factors.log_factor[:-1], clip),
    "per_agent_clamp": lambda factors, clip: clamped_factor(
        log_product_before(clamped_term(factors.log_ratio, clip)), jnp.inf
    ),
    "two_sided": lambda factors, eps: two_sided_factor(factors.log_factor[:-1], eps),
    "self_normalised": lambda factors, _: raw_factor(factors),
    "power": lambda factors, power: powered_factor(factors.log_factor[:-1], power),
    "none": lambda factors, _: jnp.ones_like(factors.log_factor[:-1]),
}
RATIO_ESTIMATORS = frozenset({"self_normalised"})  # Σ w·A / Σ w instead of Σ w·A / n


@partial(jax.jit, static_argnames="rule")
def rule_moments(
    factors: Factors, advantage: Array, state_distribution: Array, rule: str, parameter: Array | float
) -> RuleMoments:
    """Bias and variance of a rule's weighted advantage over s ~ d^π, a ~ π.

    Args:
        advantage: `[S, J]` of the old policy; state_distribution: `[S]`.
        rule: key of `FACTOR_WEIGHTS`, static.
        parameter: c, ε' or α of the rule, traced; ignored if the rule has no parameter.
    Returns:
        `[N]` each; for `self_normalised` those of large n, the variance by the delta method.
    Raises:
        TypeError: not float64.
        KeyError: unknown rule.
    Source: delta method for self-normalised weights, Owen 2013, section 9.2.
    """
    require_float64(log_factor=factors.log_factor, advantage=advantage)
    probability = (state_distribution[:, None] * jnp.exp(factors.log_joint))[None]
    weight, per_position = FACTOR_WEIGHTS[rule](factors, parameter), advantage[None]

    def mean(x: Array) -> Array:
        return jnp.sum(probability * x, axis=(1, 2), keepdims=True)

    if rule in RATIO_ESTIMATORS:
        weight = weight / mean(weight)
        expected = mean(weight * per_position)
        error = weight * (per_position - expected)
    else:
        expected = mean(weight * per_position)
        error = weight * per_position - expected
    target = expectation(factors.log_joint, factors.log_factor[:-1], advantage) @ state_distribution
    return RuleMoments(expected[:, 0, 0] - target, mean(jnp.square(error))[:, 0, 0])
