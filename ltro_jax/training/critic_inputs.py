"""The input of the critics: the global state, the state of each agent, or the observation of each agent.

A critic input arranges the rollout for C critics and converts their values back to the values of N agents. This module
holds everything that differs between the three inputs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from ltro_jax.envs import EnvSpec
from ltro_jax.types import Array, TimeStep


class CriticInput(NamedTuple):
    """One critic input for one environment.

    see: `TimeStep → [G]`, or `[N, G]` if the input differs between agents; keeps leading axes.
    to_critics: rollout of the results of `see`, `[T, B, …] → [C, T, B', …]`; B' counts the sequences of one critic.
    spread: `[T, B] → [C, T, B']`, for data that all agents share.
    to_agents: values `[C, T, B'] → [N, T, B]`, or `[1, T, B]` if all agents have the same values.
    from_agents: the inverse of `to_agents`.
    state_sizes: true input sizes of the C critics.
    mask: `[N, G]` bool, entries that exist; None = all.
    sequences: sequences of one critic per environment, B' / B.
    joint: whether the advantages of all agents are one set, standardised together.
    enumerable: whether the value depends on the global state alone.
    """

    see: Callable[[TimeStep], Array]
    to_critics: Callable[[Array], Array]
    spread: Callable[[Array], Array]
    to_agents: Callable[[Array], Array]
    from_agents: Callable[[Array], Array]
    state_sizes: tuple[int, ...]
    mask: np.ndarray | None
    sequences: int
    joint: bool
    enumerable: bool

    @property
    def num_critics(self) -> int:
        """C."""
        return len(self.state_sizes)


def agent_major(x: Shaped[Array, "T B N *feature"]) -> Shaped[Array, "N T B *feature"]:
    """`[T, B, N, …]` → `[N, T, B, …]`."""
    return jnp.moveaxis(x, 2, 0)


def shared_state(spec: EnvSpec) -> CriticInput:
    """One critic of the global state. Source: Yu et al. 2022."""
    return CriticInput(
        see=lambda timestep: timestep.state,
        to_critics=lambda x: x[None],
        spread=lambda x: x[None],
        to_agents=lambda value: value,
        from_agents=lambda value: value,
        state_sizes=(spec.state_size,),
        mask=None,
        sequences=1,
        joint=False,
        enumerable=True,
    )


def agent_state(spec: EnvSpec) -> CriticInput:
    """One critic of the state of each agent: the global state, then the agent's observation. Source: Yu et al. 2022."""
    num_agents, mask = spec.num_agents, spec.observation_mask

    def see(timestep: TimeStep) -> Array:
        observation = timestep.observation
        state = jnp.broadcast_to(timestep.state[..., None, :], (*observation.shape[:-1], timestep.state.shape[-1]))
        return jnp.concatenate([state, observation], axis=-1)

    def to_critics(x: Array) -> Array:
        return x.reshape(1, x.shape[0], -1, *x.shape[3:])

    return CriticInput(
        see=see,
        to_critics=to_critics,
        spread=lambda x: to_critics(jnp.broadcast_to(x[..., None], (*x.shape, num_agents))),
        to_agents=lambda value: agent_major(value.reshape(value.shape[1], -1, num_agents)),
        from_agents=lambda value: to_critics(jnp.moveaxis(value, 0, 2)),
        state_sizes=(spec.state_size + spec.observation_size,),
        mask=None if mask is None else np.pad(mask, ((0, 0), (spec.state_size, 0)), constant_values=True),
        sequences=num_agents,
        joint=True,
        enumerable=False,
    )


def observation(spec: EnvSpec) -> CriticInput:
    """N critics, one of the observation of each agent. Source: de Witt et al. 2020."""
    return CriticInput(
        see=lambda timestep: timestep.observation,
        to_critics=agent_major,
        spread=lambda x: jnp.broadcast_to(x, (spec.num_agents, *x.shape)),
        to_agents=lambda value: value,
        from_agents=lambda value: value,
        state_sizes=spec.observation_sizes,
        mask=spec.observation_mask,
        sequences=1,
        joint=False,
        enumerable=False,
    )


CRITIC_INPUTS = {make.__name__: make for make in (shared_state, agent_state, observation)}
