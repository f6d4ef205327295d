"""The setting `factor_rule`: the function of the factor that weights an agent's samples. Each rule is one line."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from ltro_jax.config import Hypers
from ltro_jax.ops import clamped_factor, clamped_term, powered_factor, self_normalised_factor, two_sided_factor
from ltro_jax.types import AgentBatch, Array


class FactorRule(NamedTuple):
    """A weight as a function of the agents already updated.

    weight: `(log_product [*samples], batch, hypers) → [*samples]` float32 ≥ 0.
    reads: the hyper-parameters that the rule reads.
    term: `(log_ratio [*samples], hypers) → [*samples]`, what an updated agent adds to `log_product`; None adds its log
        ratio, so that the product is the raw factor R.
    """

    weight: Callable[[Array, AgentBatch, Hypers], Array]
    reads: frozenset[str] = frozenset()
    term: Callable[[Array, Hypers], Array] | None = None


FACTOR_RULES: dict[str, FactorRule] = {
    "clamp": FactorRule(
        lambda log_factor, batch, hypers: clamped_factor(log_factor, hypers.factor_clip), frozenset({"factor_clip"})
    ),
    "per_agent_clamp": FactorRule(
        lambda log_product, batch, hypers: clamped_factor(log_product, jnp.inf),
        frozenset({"factor_clip"}),
        lambda log_ratio, hypers: clamped_term(log_ratio, hypers.factor_clip),
    ),
    "two_sided": FactorRule(
        lambda log_factor, batch, hypers: two_sided_factor(log_factor, hypers.factor_eps), frozenset({"factor_eps"})
    ),
    "self_normalised": FactorRule(
        lambda log_factor, batch, hypers: self_normalised_factor(log_factor, batch.active_mask)
    ),
    "power": FactorRule(
        lambda log_factor, batch, hypers: powered_factor(log_factor, hypers.factor_power), frozenset({"factor_power"})
    ),
    "none": FactorRule(lambda log_factor, batch, hypers: jnp.ones_like(log_factor)),
}
