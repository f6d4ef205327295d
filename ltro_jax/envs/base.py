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
    team_reward: str  # "sum" or "mean" over the agents' rewards, or "shared" where they have one
    winnable: bool = False  # time steps say whether the episode was won

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def team_reward_words(self) -> str:
        """What the team reward is, for people: `sum over 3 agents`."""
        return "shared" if self.team_reward == "shared" else f"{self.team_reward} over {self.num_agents} agents"

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
    env: Environment, step_keys: Array, reset_keys: Array, env_states: Any, actions: Array
) -> tuple[Any, TimeStep, TimeStep]:
    """Step a batch of environments, and start a new episode where one is over.

    Resets are computed only at steps at which some episode of the batch ends (under `vmap` at every step), with the
    same keys and so the same numbers either way.

    Args:
        step_keys, reset_keys: `[B]` typed keys.
        env_states: leaves `[B, …]`; `actions` `[B, N]` or `[B, N, A]`.
    Returns:
        The environment states to go on from, the time steps to act on (of new episodes where they were started), and
        the true outcomes of the step (their observations and states are those before any reset); leaves `[B, …]`.
    """
    stepped = jax.vmap(env.step)(step_keys, env_states, actions)
    outcome = stepped[1]

    def with_resets(stepped: Any) -> Any:
        def chosen(fresh: Array, old: Array) -> Array:
            return jnp.where(outcome.done.reshape(-1, *[1] * (fresh.ndim - 1)), fresh, old)

        return jax.tree.map(chosen, jax.vmap(env.reset)(reset_keys), stepped)

    env_states, timestep = jax.lax.cond(jnp.any(outcome.done), with_resets, lambda stepped: stepped, stepped)
    return env_states, timestep, outcome
