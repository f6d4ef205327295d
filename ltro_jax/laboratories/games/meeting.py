"""Agents on a small grid that receive a reward in the same cell."""

from functools import reduce

import jax.numpy as jnp
import numpy as np

from ltro_jax.laboratories.games.games import Game, make_game
from ltro_jax.types import Array

MOVES = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))  # stay, left, right, up, down


def move_probabilities(height: int, width: int, slip: float) -> np.ndarray:
    """Next cell of one agent `[C, A, C]`, C = height · width: the move fails with probability `slip`; walls stop it.

    A corridor (height 1) has three actions, a grid five.
    """
    num_cells, num_actions = height * width, 3 if height == 1 else 5
    probability = np.zeros((num_cells, num_actions, num_cells))
    for cell in range(num_cells):
        row, column = divmod(cell, width)
        for action, (down, right) in enumerate(MOVES[:num_actions]):
            reached = np.clip(row + down, 0, height - 1) * width + np.clip(column + right, 0, width - 1)
            probability[cell, action, reached] += 1.0 - slip
            probability[cell, action, cell] += slip
    return probability


def meeting_game(
    num_agents: int = 2, height: int = 1, width: int = 3, slip: float = 0.1, gamma: Array | float = 0.9
) -> Game:
    """Reward 1 in every state in which all agents share a cell, from any start; each move may slip.

    The state is every agent's cell, S = (height · width)^N with the first agent's cell most significant, so use
    a small grid: four agents in a corridor of three have 81 states, in a 2 × 2 grid 256 (a third of a gigabyte).
    """
    one = move_probabilities(height, width, slip)
    num_cells, num_actions, _ = one.shape

    def paired(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Kronecker product along states, actions and next states at once."""
        shape = tuple(a * b for a, b in zip(first.shape, second.shape, strict=True))
        return np.einsum("iaj,kbl->ikabjl", first, second).reshape(shape)

    transition = reduce(paired, [one] * num_agents)
    cells = np.indices((num_cells,) * num_agents).reshape(num_agents, -1)
    together = np.all(cells == cells[0], axis=0).astype(float)
    reward = np.repeat(together[:, None], num_actions**num_agents, axis=1)
    start = np.full(len(together), 1.0 / len(together))
    return make_game(jnp.asarray(reward), jnp.asarray(transition), jnp.asarray(start), gamma, num_agents)
