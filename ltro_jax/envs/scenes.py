"""What there is to draw of an environment's state, for those that can be drawn.

An environment that has a method `scene(env_state)`, pure, which returns one of these is drawn by `ltro render`.
"""

from typing import Any, NamedTuple

Array = Any  # of JAX where it is made, of NumPy where it is drawn


class ParticleScene(NamedTuple):
    """A plane with M entities: the N agents first, then landmarks."""

    position: Array  # [M, 2] float32
    velocity: Array  # [N, 2] float32, per second
    radius: Array  # [M] float32
    goal: Array  # [N] int32, index among the entities of the landmark that an agent is meant for; -1 = none
    message: Array  # [N, C] float32 in [0, 1], what each agent said last; C = 0 where nobody speaks
    speaks: Array  # [N] bool


class BattleScene(NamedTuple):
    """A field with U units: the N allies first, then enemies."""

    position: Array  # [U, 2] float32
    radius: Array  # [U] float32
    health: Array  # [U] float32, share of full health in [0, 1]; 0 = dead
    target: Array  # [U] int32, unit under attack in the step before; -1 = none
    is_ally: Array  # [U] bool


class ChainScene(NamedTuple):
    """A chain of K links in a plane."""

    joint: Array  # [K + 1, 2] float32, ends of the links, the front first
    agent: Array  # [K - 1] int32, who drives the hinge between links k and k + 1


Scene = ParticleScene | BattleScene | ChainScene
