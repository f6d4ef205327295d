"""Prepend the number of the agent to its observation, for actors that agents share."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from ltro_jax.envs.base import Environment, EnvSpec, EnvState
from ltro_jax.types import Array, TimeStep


class AgentId:
    """An environment whose agents observe their number, one-hot `[N]`, and then their observation."""

    def __init__(self, env: Environment):
        self._env = env
        sizes = tuple(env.spec.num_agents + size for size in env.spec.observation_sizes)
        self.spec: EnvSpec = dataclasses.replace(env.spec, observation_sizes=sizes)

    @property
    def scene(self) -> Any:
        """The `scene` of the environment, if it has one."""
        return self._env.scene  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def webpage(self) -> Any:
        """The `webpage` of the environment, if it has one."""
        return self._env.webpage  # pyright: ignore[reportAttributeAccessIssue]

    def reset(self, key: Array) -> tuple[EnvState, TimeStep]:
        """Start an episode."""
        return self._with_id(*self._env.reset(key))

    def step(self, key: Array, env_state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        """One step of all agents."""
        return self._with_id(*self._env.step(key, env_state, action))

    def _with_id(self, env_state: EnvState, timestep: TimeStep) -> tuple[EnvState, TimeStep]:
        numbered = jnp.concatenate([jnp.eye(self.spec.num_agents), timestep.observation], axis=-1)
        return env_state, timestep.replace(observation=numbered)
