"""The protocol of environments: pure functions on arrays with an agent axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.types import Array, TimeStep

EnvState = Any  # a pytree of arrays that only its environment reads


@dataclass(frozen=True)
class EnvSpec:
    """Static properties of an environment. If agents differ in size, arrays are padded to the largest."""

    name: str
    agents: tuple[str, ...]
    observation_sizes: tuple[int, ...]  # N true sizes
    action_sizes: tuple[int, ...]  # N true sizes: number of actions, or of dimensions
    discrete: bool
    state_size: int
    episode_length: int  # time limit in steps
    team_reward: str  # "sum" or "mean" over the agents' rewards, or "shared" if all agents have the same reward
    winnable: bool = False  # time steps have `won`
    agent_types: tuple[str, ...] | None = None  # N names; None = agents of equal sizes are of one type

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def team_reward_words(self) -> str:
        """The team reward in words: `sum over 3 agents`."""
        return "shared" if self.team_reward == "shared" else f"{self.team_reward} over {self.num_agents} agents"

    @property
    def types(self) -> tuple[str, ...]:
        """N names of the agents' types."""
        sizes = zip(self.observation_sizes, self.action_sizes, strict=True)
        return self.agent_types or tuple(f"{observation}, {action}" for observation, action in sizes)

    @property
    def observation_size(self) -> int:
        """O, the largest size of an observation."""
        return max(self.observation_sizes)

    @property
    def action_size(self) -> int:
        """A, the largest size of an action."""
        return max(self.action_sizes)

    def _repr_html_(self) -> str:
        from ltro_jax.display import spec_html

        return spec_html(self)

    @property
    def observation_mask(self) -> np.ndarray | None:
        """`[N, O]` bool that marks true entries, or None if all observations have the same size."""
        if len(set(self.observation_sizes)) == 1:
            return None
        return size_mask(self.observation_sizes)


class Environment(Protocol):
    """A single environment; `vmap` over keys, states and actions batches it.

    `step` returns the true next time step and never resets; `action` is `[N]` int32 or `[N, A]` float32.
    """

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, key: Array) -> tuple[EnvState, TimeStep]: ...

    def step(self, key: Array, env_state: EnvState, action: Array) -> tuple[EnvState, TimeStep]: ...


def size_mask(sizes: Sequence[int]) -> np.ndarray:
    """`[N, max size]` bool, True where an entry exists."""
    return np.arange(max(sizes)) < np.asarray(sizes)[:, None]


def pad_last(x: Array, width: int) -> Array:
    """Zero-pad the last axis of `[…, n]` to `[…, width]`."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])])


DEVIATION_EPS = 1e-8  # below rounding error; it only affects a constant vector, which would give NaN


def standardise_vector(x: Array) -> Array:
    """`[…, n]` with zero mean and unit population deviation along the last axis; a constant vector becomes 0."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True))
    return centred / (deviation + DEVIATION_EPS)


def combine_rewards(rewards: Array, team_reward: str) -> Array:
    """Team reward `[]` from the agents' `[N]`: their sum or their mean."""
    return jnp.sum(rewards) if team_reward == "sum" else jnp.mean(rewards)


RESET_SHARE = 8  # environments are reset in groups of an eighth of the batch, rounded up


def step_and_reset(
    env: Environment, step_keys: Array, reset_keys: Array, env_states: EnvState, actions: Array
) -> tuple[EnvState, TimeStep, TimeStep]:
    """Step a batch of environments, and start a new episode where an episode has ended.

    Only environments that need a reset are reset, one group at a time. Every environment has a key, so the result is
    the same as if every environment were reset in every step.

    Args:
        step_keys, reset_keys: `[B]` typed keys.
        env_states: leaves `[B, …]`; `actions` `[B, N]` or `[B, N, A]`.
    Returns:
        The environment states and the time steps to act on, both after the resets, and the true outcomes of the step,
        before the resets; leaves `[B, …]`.
    """
    stepped = jax.vmap(env.step)(step_keys, env_states, actions)
    outcome = stepped[1]
    num_envs = outcome.done.shape[0]
    group_size = -(-num_envs // RESET_SHARE)

    def reset_a_group(carry: tuple[Array, tuple[EnvState, TimeStep]]) -> tuple[Array, tuple[EnvState, TimeStep]]:
        over, current = carry
        (group,) = jnp.nonzero(over, size=group_size, fill_value=num_envs)  # beyond the end: not written
        fresh = jax.vmap(env.reset)(reset_keys[jnp.minimum(group, num_envs - 1)])
        current = jax.tree.map(lambda leaf, new: leaf.at[group].set(new, mode="drop"), current, fresh)
        return over.at[group].set(False, mode="drop"), current

    _, (env_states, timestep) = jax.lax.while_loop(
        lambda carry: jnp.any(carry[0]), reset_a_group, (outcome.done, stepped)
    )
    return env_states, timestep, outcome
