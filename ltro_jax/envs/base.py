"""What an environment is: pure functions on arrays with an agent axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.types import Array, TimeStep


@dataclass(frozen=True)
class EnvSpec:
    """Static facts of an environment. Agents may differ in size: arrays are padded to the widest."""

    name: str
    agents: tuple[str, ...]
    observation_sizes: tuple[int, ...]  # N true sizes
    action_sizes: tuple[int, ...]  # N true sizes: number of actions, or of dimensions
    discrete: bool
    state_size: int
    episode_length: int  # time limit in steps
    team_reward: str  # "sum" or "mean" over the agents' rewards
    winnable: bool = False  # time steps say whether the episode was won

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def observation_size(self) -> int:
        """O, the widest agent's."""
        return max(self.observation_sizes)

    @property
    def action_size(self) -> int:
        """A, the widest agent's."""
        return max(self.action_sizes)

    @property
    def observation_mask(self) -> np.ndarray | None:
        """`[N, O]` bool marking true entries, or None when all agents are equally wide."""
        if len(set(self.observation_sizes)) == 1:
            return None
        return size_mask(self.observation_sizes)


class Environment(Protocol):
    """One environment (not a batch); `vmap` over keys, states and actions makes the batch.

    `step` returns the true next time step and never resets; `action` is `[N]` int32 or `[N, A]` float32.
    """

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, key: Array) -> tuple[Any, TimeStep]: ...

    def step(self, key: Array, env_state: Any, action: Array) -> tuple[Any, TimeStep]: ...


def size_mask(sizes: Sequence[int]) -> np.ndarray:
    """`[N, max size]` bool, True where an entry exists."""
    return np.arange(max(sizes)) < np.asarray(sizes)[:, None]


def pad_last(x: Array, width: int) -> Array:
    """Zero-pad the last axis of `[…, n]` to `[…, width]`."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])])


def combine_rewards(rewards: Array, team_reward: str) -> Array:
    """Team reward `[]` from the agents' `[N]`: their sum or their mean."""
    return jnp.sum(rewards) if team_reward == "sum" else jnp.mean(rewards)


def step_and_reset(
    env: Environment, step_key: Array, reset_key: Array, env_state: Any, action: Array
) -> tuple[Any, TimeStep, TimeStep]:
    """Step, and start a new episode where this one is over.

    Returns:
        The environment state to go on from, the time step to act on (of the new episode if one was started), and the
        true outcome of the step (its observation and state are those before any reset).
    """
    stepped_state, outcome = env.step(step_key, env_state, action)
    reset_state, first = env.reset(reset_key)
    env_state, timestep = jax.tree.map(
        lambda fresh, old: jnp.where(outcome.done, fresh, old), (reset_state, first), (stepped_state, outcome)
    )
    return env_state, timestep, outcome
