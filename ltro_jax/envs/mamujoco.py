"""Multi-agent MuJoCo as the papers used it: one body, whose joints several agents move, for one team reward.

Two engines run the same task. `backend = "mujoco"`, the default on a CPU, is MuJoCo's C engine (`mamujoco_engine.py`);
`backend = "mjx"`, the default on accelerators, is MuJoCo MJX (`mamujoco_mjx.py`). Rewards, terminations, frame skip,
reset noise and observations are those of gymnasium's version 4 (`mamujoco_rewards.py`), so returns compare with
published ones.

By default each agent observes the whole state with its one-hot number appended, standardised per vector to zero mean
and unit deviation. With `agent_obsk` it observes the torso and the joints that it moves (0), and the positions of
their neighbours (1), not standardised. The global state is the whole state, standardised.

An action in [-1, 1] spans the actuators' range. As in the published code it is not clipped: the actuators clip the
control, and the control cost counts it unclipped.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ltro_jax.config import Static
from ltro_jax.config.families import MaMuJoCoOptions
from ltro_jax.envs.base import EnvSpec, pad_last, size_mask, standardise_vector
from ltro_jax.envs.mabrax_joints import action_places
from ltro_jax.envs.mamujoco_bodies import BODIES, body_of, observed_places, partition_of
from ltro_jax.envs.mamujoco_engine import MujocoEngine
from ltro_jax.envs.mamujoco_mjx import MjxEngine
from ltro_jax.envs.mamujoco_rewards import (
    Readings,
    is_healthy,
    positions_and_velocities,
    reset_noise,
    state_size,
    team_reward,
    whole_state,
)
from ltro_jax.types import Array, TimeStep

EPISODE_LENGTH = 1000
ENGINES = {"mujoco": MujocoEngine, "mjx": MjxEngine}


class MaMuJoCoState(struct.PyTreeNode):
    """The state of an environment."""

    physics: Any  # of the engine
    count: Array  # [] int32, steps taken in this episode


def make_mamujoco(name: str, settings: Static) -> "MaMuJoCo":
    """Adapter for `mamujoco/<name>`.

    Raises:
        SettingsError: a partition that does not fit the body, or a backend that cannot run here.
        ImportError: a package of the extra `mamujoco` is not installed.
    """
    options = settings.options
    assert isinstance(options, MaMuJoCoOptions), options
    return MaMuJoCo(name, options, settings.episode_length or EPISODE_LENGTH)


class MaMuJoCo:
    """A MuJoCo body moved by several agents, as an `Environment`.

    Args:
        name: of `mamujoco_bodies.TASKS`.
        episode_length: time limit in steps.
    Raises:
        SettingsError, ImportError: as `make_mamujoco`.
    """

    def __init__(self, name: str, options: MaMuJoCoOptions, episode_length: int = EPISODE_LENGTH):
        body_name = body_of(name)
        self.parts = partition_of(name, options.partition)
        backend = options.backend or ("mujoco" if jax.default_backend() == "cpu" else "mjx")
        self._body = BODIES[body_name]
        self._engine = ENGINES[backend](body_name)
        model = self._engine.model
        self._sizes = model.nq, model.nv, model.nbody
        self._seconds = float(model.opt.timestep) * self._body.frame_skip
        low, high = np.asarray(model.actuator_ctrlrange, np.float32).T
        self._control_centre, self._control_scale = (high + low) / 2, (high - low) / 2
        self._action_places = action_places(model, self.parts)
        self._observed = None
        if options.agent_obsk is not None:
            self._observed = observed_places(model, self._body, self.parts, options.agent_obsk)
        num_agents, size = len(self.parts), state_size(self._body, *self._sizes)
        full_sizes = (size + num_agents,) * num_agents
        self.spec = EnvSpec(
            name=f"mamujoco/{name}",
            agents=tuple(f"agent_{index}" for index in range(num_agents)),
            observation_sizes=full_sizes if self._observed is None else tuple(map(len, self._observed)),
            action_sizes=tuple(map(len, self.parts)),
            discrete=False,
            state_size=size,
            episode_length=episode_length,
            team_reward="shared",
        )

    def reset(self, key: Array) -> tuple[MaMuJoCoState, TimeStep]:
        """Start an episode near the model's initial state."""
        physics, readings = self._engine.start(*reset_noise(key, self._body, *self._sizes[:2]))
        env_state = MaMuJoCoState(physics, jnp.zeros((), jnp.int32))
        return env_state, self._timestep(readings, jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool))

    def step(self, key: Array, env_state: MaMuJoCoState, action: Array) -> tuple[MaMuJoCoState, TimeStep]:
        """One step of all agents; `action` is `[N, A]` float32. `key` is not used."""
        control = self.control(action)
        physics, readings = self._engine.advance(env_state.physics, control)
        count = env_state.count + 1
        reward = team_reward(self._body, readings.progress, control, self._seconds)
        terminated = ~is_healthy(self._body, readings.qpos, readings.qvel)
        truncated = (count >= self.spec.episode_length) & ~terminated
        return MaMuJoCoState(physics, count), self._timestep(readings, reward, terminated, truncated)

    def control(self, action: Array) -> Array:
        """`[nu]` float32, in the order of the actuators, from the actions `[N, A]`: [-1, 1] is the whole range."""
        return self._control_centre + self._control_scale * action.reshape(-1)[self._action_places]

    def _timestep(self, readings: Readings, reward: Array, terminated: Array, truncated: Array) -> TimeStep:
        spec = self.spec
        whole = whole_state(self._body, readings, self._sizes[2])
        return TimeStep(
            observation=self._observation(readings, whole),
            state=standardise_vector(whole),
            action_mask=jnp.asarray(size_mask(spec.action_sizes)),
            active_mask=jnp.ones(spec.num_agents, bool),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
        )

    def _observation(self, readings: Readings, whole: Array) -> Array:
        """`[N, O]`."""
        spec = self.spec
        if self._observed is not None:
            row = positions_and_velocities(self._body, readings)
            return jnp.stack([pad_last(row[np.array(places)], spec.observation_size) for places in self._observed])
        everything = jnp.broadcast_to(whole, (spec.num_agents, spec.state_size))
        return standardise_vector(jnp.concatenate([everything, jnp.eye(spec.num_agents)], axis=-1))
