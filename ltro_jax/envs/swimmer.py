"""The many-agent swimmer of multi-agent MuJoCo: a chain of links in a viscous plane; each agent drives some hinges.

`swimmer/10x2` has ten agents with two hinges each, `swimmer/20x1` twenty agents with one. `swimmer_model.py` has the
model. Every agent observes the whole observation (positions without x and y, then velocities) followed by its one-hot
number, standardised as one vector; the global state is the observation, standardised the same way. The team reward is
the forward speed over the step minus `CONTROL_COST`·|controls|². Episodes never terminate; the time limit truncates
them.

Physics: `backend = "built_in"`, the default, is `swimmer_physics.py`, MuJoCo's equations for this chain, and does not
need MuJoCo. Over 20 steps of random controls, also with half of the hinges at their limits, it stays within 2e-6
(positions) and 1e-5 (velocities) of MuJoCo's C code in float64. `backend = "mjx"` simulates the same model with MuJoCo
MJX, for comparison: with 20 hinges it compiles for minutes, is thousands of times slower on a CPU, and has larger
rounding errors (1e-4 and 2e-3 after 5 steps).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ltro_jax.config import Static
from ltro_jax.config.families import SwimmerOptions
from ltro_jax.envs import swimmer_model as model
from ltro_jax.envs.base import EnvSpec, standardise_vector
from ltro_jax.envs.scenes import ChainScene
from ltro_jax.envs.swimmer_physics import make_advance
from ltro_jax.process.imports import import_quietly, without_warnings
from ltro_jax.types import Array, TimeStep

SWIMMERS = ("10x2", "20x1")  # agents × hinges of each
EPISODE_LENGTH = 1000
CONTROL_COST = 1e-4
Advance = Callable[[Array, Array, Array], tuple[Array, Array]]


class SwimmerState(struct.PyTreeNode):
    """The state of a swimmer with n hinges."""

    qpos: Array  # [3 + n] float32: x, y, root angle, hinges; metres and radians
    qvel: Array  # [3 + n] float32, their rates
    count: Array  # [] int32, steps taken


def make_swimmer(name: str, settings: Static) -> "Swimmer":
    """Adapter for `swimmer/<agents>x<hinges of each>`.

    Raises:
        ImportError: backend "mjx" without MuJoCo MJX.
    """
    options = settings.options
    assert isinstance(options, SwimmerOptions), options
    return Swimmer(name, options, settings.episode_length or EPISODE_LENGTH)


class Swimmer:
    """A many-agent swimmer as an `Environment`."""

    def __init__(self, name: str, options: SwimmerOptions, episode_length: int):
        num_agents, segments = (int(number) for number in name.split("x"))
        num_hinges = num_agents * segments
        size = 2 * num_hinges + 4  # positions without x and y, and velocities
        self._advance = mjx_advance(num_hinges) if options.backend == "mjx" else make_advance(num_hinges)
        self._num_joints = 3 + num_hinges
        self.spec = EnvSpec(
            name=f"swimmer/{name}",
            agents=tuple(f"agent_{index}" for index in range(num_agents)),
            observation_sizes=(size + num_agents,) * num_agents,
            action_sizes=(segments,) * num_agents,
            discrete=False,
            state_size=size,
            episode_length=episode_length,
            team_reward="shared",
        )

    def reset(self, key: Array) -> tuple[SwimmerState, TimeStep]:
        """Start an episode, nearly straight and nearly at rest."""
        position_key, velocity_key = jax.random.split(key)
        position, velocity = (
            jax.random.uniform(
                one_key, (self._num_joints,), jnp.float32, minval=-model.START_RANGE, maxval=model.START_RANGE
            )
            for one_key in (position_key, velocity_key)
        )
        env_state = SwimmerState(position, velocity, jnp.zeros((), jnp.int32))
        return env_state, self._timestep(env_state, jnp.zeros((), jnp.float32))

    def step(self, key: Array, env_state: SwimmerState, action: Array) -> tuple[SwimmerState, TimeStep]:
        """One step of all agents; `action` is `[N, A]` float32, clipped to [-1, 1] here. `key` is not used."""
        control = jnp.clip(action, -1.0, 1.0).reshape(-1)  # the hinges of an agent are neighbours on the chain
        qpos, qvel = self._advance(env_state.qpos, env_state.qvel, control)
        speed = (qpos[0] - env_state.qpos[0]) / (model.TIMESTEP * model.FRAME_SKIP)
        stepped = SwimmerState(qpos, qvel, env_state.count + 1)
        return stepped, self._timestep(stepped, speed - CONTROL_COST * jnp.sum(jnp.square(control)))

    def scene(self, env_state: SwimmerState) -> ChainScene:
        """The scene to draw."""
        num_hinges = self._num_joints - 3
        angle = jnp.cumsum(model.hinge_signs(num_hinges) * env_state.qpos[2:])
        along = model.LINK_LENGTH * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)  # of each link, forwards
        front = env_state.qpos[:2] + (model.TORSO_CENTRE / model.LINK_LENGTH + 0.5) * along[0]
        joint = front[None] - jnp.concatenate([jnp.zeros((1, 2)), jnp.cumsum(along, axis=0)])
        return ChainScene(joint, jnp.arange(num_hinges) // self.spec.action_size)

    def _timestep(self, env_state: SwimmerState, reward: Array) -> TimeStep:
        spec = self.spec
        whole = jnp.concatenate([env_state.qpos[2:], env_state.qvel])
        numbered = jnp.concatenate([jnp.tile(whole, (spec.num_agents, 1)), jnp.eye(spec.num_agents)], axis=1)
        return TimeStep(
            observation=standardise_vector(numbered),
            state=standardise_vector(whole),
            action_mask=jnp.ones((spec.num_agents, spec.action_size), bool),
            active_mask=jnp.ones(spec.num_agents, bool),
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=env_state.count >= spec.episode_length,
        )


def mjx_advance(num_hinges: int) -> Advance:
    """As `swimmer_physics.make_advance`, with MuJoCo MJX.

    Raises:
        ImportError: MuJoCo MJX is not installed.
    """
    mujoco: Any = import_quietly("mujoco")
    mjx: Any = import_quietly("mujoco.mjx")
    with without_warnings():
        compiled = mujoco.MjModel.from_xml_string(model.mjcf(num_hinges))
        on_device = mjx.put_model(compiled)
        template = mjx.make_data(compiled)

    def advance(qpos: Array, qvel: Array, control: Array) -> tuple[Array, Array]:
        # No warm start between environment steps: the problem of the solver is convex and has one solution.
        data = template.replace(qpos=qpos, qvel=qvel, ctrl=control)
        data = jax.lax.fori_loop(0, model.FRAME_SKIP, lambda _, data: mjx.step(on_device, data), data)
        return data.qpos, data.qvel

    return advance
