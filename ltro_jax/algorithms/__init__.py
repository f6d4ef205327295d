"""The algorithms: one scan over agents, an `agent_update` passed in, one critic update."""

from ltro_jax.algorithms.registry import ALGORITHMS, Recipe, get_recipe, readers
from ltro_jax.algorithms.sequential import SequentialResult, sequential_update
from ltro_jax.algorithms.shared_parameters import shared_update

__all__ = ["ALGORITHMS", "Recipe", "SequentialResult", "get_recipe", "readers", "sequential_update", "shared_update"]
