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
    agent_types: tuple[str, ...] | None = None  # N names; None = agents of equal sizes are of one type

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def team_reward_words(self) -> str:
        """What the team reward is, for people: `sum over 3 agents`."""
        return "shared" if self.team_reward == "shared" else f"{self.team_reward} over {self.num_agents} agents"

    @property
    def types(self) -> tuple[str, ...]:
        """N names of the agents' types."""
        sizes = zip(self.observation_sizes, self.action_sizes, strict=True)
        return self.agent_types or tuple(f"{observation}, {action}" for observation, action in sizes)

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


DEVIATION_EPS = 1e-8  # below the rounding of any deviation seen: only a constant vector (which would give NaN) notices


def standardise_vector(x: Array) -> Array:
    """`[…, n]` with zero mean and unit population deviation along the last axis; a constant vector becomes 0."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True))
    return centred / (deviation + DEVIATION_EPS)


def combine_rewards(rewards: Array, team_reward: str) -> Array:
    """Team reward `[]` from the agents' `[N]`: their sum or their mean."""
    return jnp.sum(rewards) if team_reward == "sum" else jnp.mean(rewards)


RESET_SHARE = 8  # a batch is reset in groups of at least an eighth of its environments


def step_and_reset(
    env: Environment, step_keys: Array, reset_keys: Array, env_states: Any, actions: Array
) -> tuple[Any, TimeStep, TimeStep]:
    """Step a batch of environments, and start a new episode where one is over.

    Resets are computed for the environments that need one, a group at a time: none where no episode ends, and never
    for the whole batch because of one. Every environment has its own key, so the numbers are those of a reset computed
    everywhere at every step.

    Args:
        step_keys, reset_keys: `[B]` typed keys.
        env_states: leaves `[B, …]`; `actions` `[B, N]` or `[B, N, A]`.
    Returns:
        The environment states to go on from, the time steps to act on (of new episodes where they were started), and
        the true outcomes of the step (their observations and states are those before any reset); leaves `[B, …]`.
    """
    stepped = jax.vmap(env.step)(step_keys, env_states, actions)
    outcome = stepped[1]
    num_envs = outcome.done.shape[0]
    group_size = -(-num_envs // RESET_SHARE)

    def reset_a_group(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        over, current = carry
        (group,) = jnp.nonzero(over, size=group_size, fill_value=num_envs)  # beyond the end: written nowhere
        fresh = jax.vmap(env.reset)(reset_keys[jnp.minimum(group, num_envs - 1)])
        current = jax.tree.map(lambda leaf, new: leaf.at[group].set(new, mode="drop"), current, fresh)
        return over.at[group].set(False, mode="drop"), current

    _, (env_states, timestep) = jax.lax.while_loop(
        lambda carry: jnp.any(carry[0]), reset_a_group, (outcome.done, stepped)
    )
    return env_states, timestep, outcome
