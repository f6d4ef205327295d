"""The algorithms: one scan over agents, an update rule for each, one critic update."""

from ltro_jax.algorithms.factor_rules import FACTOR_RULES, FactorRule
from ltro_jax.algorithms.registry import ALGORITHMS, default_settings, get_rule, is_read, readers, stands_for, with_rule
from ltro_jax.algorithms.sequential import SequentialResult, sequential_update
from ltro_jax.algorithms.shared_parameters import shared_update
from ltro_jax.algorithms.update_rule import Position, UpdateRule

__all__ = [
    "ALGORITHMS",
    "FACTOR_RULES",
    "FactorRule",
    "Position",
    "SequentialResult",
    "UpdateRule",
    "default_settings",
    "get_rule",
    "is_read",
    "readers",
    "sequential_update",
    "shared_update",
    "stands_for",
    "with_rule",
]
