"""Scenes: what `ltro render` draws of an environment state.

`ltro render` draws every environment with a pure method `scene(env_state)` that returns one of these scenes.
"""

from typing import Any, NamedTuple

Array = Any  # of JAX in `scene`, of NumPy in `ltro render`


class ParticleScene(NamedTuple):
    """A plane with M entities: the N agents first, then landmarks."""

    position: Array  # [M, 2] float32
    velocity: Array  # [N, 2] float32, per second
    radius: Array  # [M] float32
    goal: Array  # [N] int32, index of the entity that is the goal of an agent; -1 = none
    message: Array  # [N, C] float32 in [0, 1], last message of each agent; C = 0 if no agent speaks
    speaks: Array  # [N] bool


class BattleScene(NamedTuple):
    """A field with U units: the N allies first, then enemies."""

    position: Array  # [U, 2] float32
    radius: Array  # [U] float32
    health: Array  # [U] float32, fraction of full health in [0, 1]; 0 = dead
    target: Array  # [U] int32, unit that this unit attacked in the previous step; -1 = none
    is_ally: Array  # [U] bool


class ChainScene(NamedTuple):
    """A chain of K links in a plane."""

    joint: Array  # [K + 1, 2] float32, ends of the links, the front first
    agent: Array  # [K - 1] int32, agent that drives the hinge between links k and k + 1


Scene = ParticleScene | BattleScene | ChainScene
