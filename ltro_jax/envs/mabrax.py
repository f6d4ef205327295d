"""The bodies of Brax, controlled by several agents as in multi-agent MuJoCo (see `mabrax_joints` for the partition).

The adapter uses Brax without its wrappers: `step` never resets, the last observation of an episode is the true one, and
a time limit (truncation) is distinct from a fall (termination).

With `observation = "full"`, the default, an agent observes Brax's whole observation followed by its one-hot number
`[N]`, standardised as one vector; with "joints", it observes the torso and the joints that it moves, not standardised.
The global state is Brax's observation, standardised. The default backend, `generalized`, works in joint coordinates
with a constraint solver, as MuJoCo does.

Rewards and returns are not comparable with those of MuJoCo.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ltro_jax.config import Static
from ltro_jax.config.families import MABraxOptions
from ltro_jax.envs.base import EnvSpec, pad_last, size_mask, standardise_vector
from ltro_jax.envs.mabrax_joints import TASKS, action_places, body_of, hidden_positions, observed_joints, partition
from ltro_jax.process.imports import import_quietly, without_warnings
from ltro_jax.types import Array, TimeStep

DEFAULT_EPISODE_LENGTH = 1000


class MABraxState(struct.PyTreeNode):
    """The state of an environment, without Brax's metrics, observation and info."""

    physics: Any  # state of the physics backend
    count: Array  # [] int32, steps taken in this episode


def make_mabrax(name: str, settings: Static) -> "MABrax":
    """Adapter for `mabrax/<name>`.

    Raises:
        ImportError: brax is not installed.
    """
    options = settings.options
    assert isinstance(options, MABraxOptions), options
    return MABrax(name, options, settings.episode_length or DEFAULT_EPISODE_LENGTH)


class MABrax:
    """A body of Brax as an `Environment`; the team reward is that of Brax."""

    def __init__(self, name: str, options: MABraxOptions, episode_length: int):
        self._brax, self._brax_state = _create(body_of(name), options.backend)
        model = self._brax.sys.mj_model
        self._check_action_range(body_of(name))
        self.parts = partition(name)
        self._action_places = action_places(model, self.parts)
        with without_warnings():  # Brax reads deprecated attributes of MJX while it is traced
            state_size = int(jax.eval_shape(self._brax.reset, jax.random.key(0)).obs.shape[0])
        assert state_size >= model.nq - hidden_positions(model) + model.nv
        self._observed = observed_joints(model, self.parts) if options.observation == "joints" else None
        num_agents = len(self.parts)
        full_sizes = (state_size + num_agents,) * num_agents
        self.spec = EnvSpec(
            name=f"mabrax/{name}",
            agents=tuple(f"agent_{index}" for index in range(num_agents)),
            observation_sizes=full_sizes if self._observed is None else tuple(map(len, self._observed)),
            action_sizes=TASKS[name],
            discrete=False,
            state_size=state_size,
            episode_length=episode_length,
            team_reward="shared",
        )

    def reset(self, key: Array) -> tuple[MABraxState, TimeStep]:
        """Start an episode."""
        with without_warnings():
            state = self._brax.reset(key)
        env_state = MABraxState(_strong(state.pipeline_state), jnp.zeros((), jnp.int32))
        return env_state, self._timestep(state.obs, jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool))

    def step(self, key: Array, env_state: MABraxState, action: Array) -> tuple[MABraxState, TimeStep]:
        """One step of all agents; `action` `[N, A]` float32 is clipped to [-1, 1], the actuators' full range, here."""
        assert action.shape == (self.spec.num_agents, self.spec.action_size), action.shape
        control = jnp.clip(action.reshape(-1)[self._action_places], -1.0, 1.0)
        zero = jnp.zeros((), jnp.float32)
        before = self._brax_state(env_state.physics, jnp.zeros(self.spec.state_size), zero, zero)
        with without_warnings():
            after = self._brax.step(before, control)
        count = env_state.count + 1
        terminated = jnp.asarray(after.done > 0.5, bool)
        truncated = (count >= self.spec.episode_length) & ~terminated
        timestep = self._timestep(after.obs, after.reward, terminated, truncated)
        return MABraxState(_strong(after.pipeline_state), count), timestep

    def webpage(self, states: Sequence[MABraxState]) -> str:
        """An HTML page that plays the states of an episode in Brax's viewer, which it loads from the web."""
        html: Any = import_quietly("brax.io.html")
        with without_warnings():
            return html.render(self._brax.sys, [state.physics for state in states])

    def _timestep(self, seen: Array, reward: Array, terminated: Array, truncated: Array) -> TimeStep:
        spec = self.spec
        seen = jnp.asarray(seen, jnp.float32)
        return TimeStep(
            observation=self._observation(seen),
            state=standardise_vector(seen),
            action_mask=jnp.asarray(size_mask(spec.action_sizes)),
            active_mask=jnp.ones(spec.num_agents, bool),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=terminated,
            truncated=truncated,
        )

    def _observation(self, seen: Array) -> Array:
        """`[N, O]` from Brax's observation."""
        spec = self.spec
        if self._observed is not None:
            return jnp.stack([pad_last(seen[np.array(places)], spec.observation_size) for places in self._observed])
        everything = jnp.broadcast_to(seen, (spec.num_agents, spec.state_size))
        return standardise_vector(jnp.concatenate([everything, jnp.eye(spec.num_agents)], axis=-1))

    def _check_action_range(self, body: str) -> None:
        """An action in [-1, 1] is the actuators' full range: by the model, or because Brax's step scales it."""
        if body != "humanoid":  # its step takes [-1, 1] and scales to ±0.4
            limits = np.asarray(self._brax.sys.actuator.ctrl_range)
            assert (limits == np.array([-1.0, 1.0])).all(), f"{body} has other actuator ranges than [-1, 1]"


def _create(body: str, backend: str) -> tuple[Any, type]:
    """Brax's environment of `body`, and the class of its states."""
    envs: Any = import_quietly("brax.envs")
    mujoco: Any = importlib.import_module("mujoco")  # type checkers do not know its extension modules
    # MuJoCo prints warnings of its model compiler without Python and writes them to a file in the working directory.
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        with without_warnings():
            env = envs.get_environment(body, backend=backend, exclude_current_positions_from_observation=True)
    finally:
        mujoco.set_mju_user_warning(handler)
    return env, envs.State


def _strong(tree: Any) -> Any:
    """The tree without weak types, so that reset and step have the same avals."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), tree)
