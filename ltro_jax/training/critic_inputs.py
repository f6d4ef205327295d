"""What the critics see: the global state, every agent's state, or each agent's own observation.

A critic input arranges the rollout for C critics and turns their values back into those of N agents. Everything that
differs between the three is here.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ltro_jax.envs import EnvSpec
from ltro_jax.types import Array, TimeStep


class CriticInput(NamedTuple):
    """One of the three, for one environment.

    see: `TimeStep → [G]`, or `[N, G]` where each agent has an input of its own; leading axes stay.
    to_critics: rollout `[T, B, …]` of what `see` gives `→ [C, T, B', …]`; B' counts every sequence of one critic.
    spread: `[T, B]`, the same for all agents `→ [C, T, B']`.
    to_agents: values `[C, T, B'] → [N, T, B]`, or `[1, T, B]` where all agents have the same.
    from_agents: the inverse of `to_agents`.
    state_sizes: C true sizes of what a critic sees.
    mask: `[N, G]` bool, entries that exist; None = all.
    sequences: of one critic in one environment, B' / B.
    joint: the advantages of all agents are one set, standardised together.
    enumerable: the value is that of the global state alone.
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


def agent_major(x: Array) -> Array:
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
    """One critic of every agent's state: the global one before the agent's observation. Source: Yu et al. 2022."""
    num_agents, mask = spec.num_agents, spec.observation_mask

    def see(timestep: TimeStep) -> Array:
        own = timestep.observation
        state = jnp.broadcast_to(timestep.state[..., None, :], (*own.shape[:-1], timestep.state.shape[-1]))
        return jnp.concatenate([state, own], axis=-1)

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
    """N critics, each of its agent's own observation. Source: de Witt et al. 2020."""
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
