"""The physics of PettingZoo 1.22, with which the published MPE results were computed.

Differences from JaxMARL 0.2, in all scenarios:

- an entity moves by its new velocity, so that an action takes effect in the same step;
- a continuous action pushes in the opposite direction: entries 1 and 2 push right and left, 3 and 4 up and down;
- an agent that can collide collides with itself in every step, which costs it a constant `local_ratio` (0.5 in
  simple_spread).

Forces, contacts, observations and initial states are the same. PettingZoo computes in float64, this code in float32.
"""

from typing import Any

import jax.numpy as jnp

from ltro_jax.types import Array


def with_pettingzoo_physics(scenario: type[Any], discrete: bool) -> type[Any]:
    """A subclass of a scenario of JaxMARL that behaves as in PettingZoo 1.22; JaxMARL's class stays as it is.

    Args:
        scenario: a class derived from JaxMARL's `SimpleMPE`.
        discrete: whether its actions are discrete.
    """

    class PettingZooPhysics(scenario):
        counts_itself = True  # read by `mpe_spread`, the only scenario with collisions

        def set_actions(self, actions: Any) -> tuple[Array, Array]:
            """Force `[N, 2]` and message `[N, …]`."""
            force, message = super().set_actions(actions)
            return (force if discrete else -force), message

        def _integrate_state(
            self, force: Array, position: Array, velocity: Array, mass: Array, moveable: Array, max_speed: Array
        ) -> tuple[Array, Array]:
            """Positions and velocities `[E, 2]` after one step; no entity of these scenarios has a speed limit."""
            moved = velocity * (1 - self.damping) + force / mass[:, None] * self.dt
            velocity = jnp.where(moveable[:, None], moved, velocity)
            return position + velocity * self.dt, velocity

    return PettingZooPhysics
