"""Rewards, terminations, observations and reset noise of multi-agent MuJoCo: pure functions, shared by both engines.

Source: the version 4 environments of gymnasium, whose values equal those of version 2 with mujoco-py > 2.0, where the
contact forces are zero.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.envs.mamujoco_bodies import Body
from ltro_jax.types import Array


class Readings(NamedTuple):
    """What an engine reports of one environment after a step or a reset."""

    qpos: Array  # [nq] float32, metres and radians
    qvel: Array  # [nv] float32, per second
    progress: Array  # [] float32, metres that the body moved along x in the last step
    extra: Array  # [10·nbody + 6·nbody + nv] float32: cinert, cvel, qfrc_actuator; [0] without `inertias`


def reset_noise(key: Array, body: Body, nq: int, nv: int) -> tuple[Array, Array]:
    """What a reset adds to the initial positions `[nq]` and velocities `[nv]`, float32."""
    position_key, velocity_key = jax.random.split(key)
    scale = body.reset_noise
    positions = jax.random.uniform(position_key, (nq,), jnp.float32, minval=-scale, maxval=scale)
    if body.normal_velocities:
        return positions, scale * jax.random.normal(velocity_key, (nv,), jnp.float32)
    return positions, jax.random.uniform(velocity_key, (nv,), jnp.float32, minval=-scale, maxval=scale)


def is_healthy(body: Body, qpos: Array, qvel: Array) -> Array:
    """`[]` bool; False ends the episode, also where the state is not finite and the body has limits."""
    healthy = jnp.ones((), bool)
    if body.height is not None:
        low, high = body.height
        height = qpos[body.height_index]
        healthy &= (low < height) & (height < high)
    if body.largest_angle is not None:
        healthy &= jnp.abs(qpos[2]) < body.largest_angle
    if body.largest_state is not None:
        healthy &= jnp.all(jnp.abs(jnp.concatenate([qpos[2:], qvel])) < body.largest_state)
    return healthy


def team_reward(body: Body, progress: Array, control: Array, step_seconds: float) -> Array:
    """`[]` float32: forward velocity less the cost of the controls as sent, before the actuators clip them."""
    forward = body.forward_weight * progress / step_seconds
    return forward - body.control_cost * jnp.sum(jnp.square(control)) + body.alive_bonus


def positions_and_velocities(body: Body, readings: Readings) -> Array:
    """`[nq + nv]` float32: all positions, then all velocities, clipped where the body's observation clips them."""
    limit = body.largest_velocity
    velocity = readings.qvel if limit is None else jnp.clip(readings.qvel, -limit, limit)
    return jnp.concatenate([readings.qpos, velocity])


def whole_state(body: Body, readings: Readings, num_bodies: int) -> Array:
    """`[state_size]` float32: gymnasium's observation of the body, with zeros for the contact forces."""
    seen = positions_and_velocities(body, readings)[body.hidden_positions :]
    zeros = jnp.zeros(6 * num_bodies if body.contact_forces else 0, jnp.float32)
    return jnp.concatenate([seen, readings.extra, zeros])


def state_size(body: Body, nq: int, nv: int, num_bodies: int) -> int:
    """Length of `whole_state`."""
    return nq - body.hidden_positions + nv + extra_size(body, nv, num_bodies) + 6 * num_bodies * body.contact_forces


def extra_size(body: Body, nv: int, num_bodies: int) -> int:
    """Length of `Readings.extra`."""
    return 16 * num_bodies + nv if body.inertias else 0
