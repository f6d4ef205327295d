"""JaxMARL's simple_spread with the agents on an array axis: the program for 48 agents is as long as for 3."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ltro_jax.process.imports import import_quietly
from ltro_jax.types import Array


def simple_spread_class() -> type[Any]:
    """JaxMARL's class with arrays `[N, …]` instead of dictionaries for actions, observations and rewards.

    JaxMARL's physics moves all entities at once; this class replaces the code between its dictionaries and its physics,
    which loops over the agents. A test compares every value with JaxMARL's.
    """
    import_quietly("jaxmarl.environments.mpe")
    from jaxmarl.environments.mpe import SimpleSpreadMPE

    class SimpleSpread(SimpleSpreadMPE):
        counts_itself = False  # whether an agent collides with itself

        def set_actions(self, actions: Array) -> tuple[Array, Array]:
            """Force `[N, 2]` and message `[N, …]` of actions `[N]` int32 or `[N, 5]` float32."""
            return self.action_decoder(self.agent_range, actions.reshape(self.num_agents, -1))

        def get_obs(self, state: Any) -> Array:
            """`[N, O]` float32: velocity, position, relative positions of landmarks and other agents, messages."""
            number = self.num_agents
            others = np.argwhere(~np.eye(number, dtype=bool))[:, 1].reshape(number, number - 1)  # [N, N-1]
            position, seen = state.p_pos[:number], state.p_pos[None] - state.p_pos[:number, None]  # [N, 2], [N, 2N, 2]
            return jnp.concatenate(
                [
                    state.p_vel[:number],
                    position,
                    seen[:, number:].reshape(number, -1),
                    jnp.take_along_axis(seen, others[:, :, None], axis=1).reshape(number, -1),
                    state.c[others].reshape(number, -1),
                ],
                axis=1,
            )

        def rewards(self, state: Any) -> Array:
            """`[N]` float32: distance of each landmark to the nearest agent, and collisions of the agent."""
            number = self.num_agents
            position, landmarks = state.p_pos[:number], state.p_pos[number:]
            radius, bodies = self.rad[:number], self.collide[:number]
            gap = jnp.sqrt(jnp.sum(jnp.square(position[:, None] - position[None]), axis=-1))  # [N, N]
            counted = np.full((number, number), True) if self.counts_itself else ~np.eye(number, dtype=bool)
            can_collide = bodies[:, None] & bodies[None] & counted
            collisions = jnp.sum((gap < radius[:, None] + radius[None]) & can_collide, axis=1)
            distance = jnp.sqrt(jnp.sum(jnp.square(position[:, None] - landmarks[None]), axis=-1))  # [N, L]
            covered = -jnp.sum(jnp.min(distance, axis=0))
            return -collisions * self.local_ratio + covered * (1 - self.local_ratio)

    return SimpleSpread
