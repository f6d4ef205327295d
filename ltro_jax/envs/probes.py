"""Probe games: tiny environments with known solutions, which test the whole trainer.

| task | game | solution |
|---|---|---|
| `probe/matching` | one step, N agents × 3 actions; reward 1 if all choose the action shown to them | return 1 |
| `probe/climbing` | one step, two agents × 3 actions, Claus & Boutilier's climbing game / 11 | best return 1 |
| `probe/target` | one step, continuous: reward −mean over agents of \\|a − 0.3\\|² | return 0 at a = 0.3 |
| `probe/endless` | reward 1 in every step until the time limit | V = 1/(1 − γ) when bootstrapped |
| `probe/unlike` | one step, agents of different sizes; reward: fraction choosing their last action | return 1 |
| `probe/recall` | symbol shown in step 1 of 4; reward in the last step: fraction choosing it | 1; without memory 1/3 |
"""

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.config import SettingsError, Static
from ltro_jax.config.families import ProbeOptions
from ltro_jax.envs.base import EnvSpec, size_mask
from ltro_jax.types import Array, TimeStep

ProbeState = tuple[Array, Array]  # [] int32 each: steps taken, symbol shown
PROBES = ("matching", "climbing", "target", "endless", "unlike", "recall")
NUM_SYMBOLS = 3
CLIMBING = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]], np.float32) / 11.0
TARGET = 0.3
EPISODE_LENGTHS = {"endless": 10, "recall": 4}  # of the other games: 1


def make_probe(name: str, settings: Static) -> "Probe":
    """Adapter for `probe/<name>`.

    Raises:
        SettingsError: actions of the wrong kind, or a number of agents other than 2 in the two-player game.
    """
    options = settings.options
    assert isinstance(options, ProbeOptions), options
    if options.continuous_actions not in (None, name == "target"):
        kind = "continuous" if name == "target" else "discrete"
        raise SettingsError(
            f"continuous_actions = {options.continuous_actions} is not possible: probe/{name} has {kind} actions only"
        )
    if name == "climbing" and options.num_agents not in (None, 2):
        raise SettingsError(
            f"num_agents = {options.num_agents} cannot be chosen for probe/climbing, which has 2 agents"
        )
    return Probe(name, options.num_agents or 2, settings.episode_length or EPISODE_LENGTHS.get(name, 1))


class Probe:
    """A probe game as an `Environment`."""

    def __init__(self, name: str, num_agents: int, episode_length: int):
        unlike = name == "unlike"
        continuous = name == "target"
        self._name = name
        self.spec = EnvSpec(
            name=f"probe/{name}",
            agents=tuple(f"agent_{index}" for index in range(num_agents)),
            observation_sizes=tuple(NUM_SYMBOLS + (index if unlike else 0) for index in range(num_agents)),
            action_sizes=tuple(
                1 if continuous else 2 + index if unlike else NUM_SYMBOLS for index in range(num_agents)
            ),
            discrete=not continuous,
            state_size=NUM_SYMBOLS,
            episode_length=episode_length,
            team_reward="shared",
        )

    def reset(self, key: Array) -> tuple[ProbeState, TimeStep]:
        """Start an episode with a uniformly drawn symbol."""
        env_state = (jnp.zeros((), jnp.int32), jax.random.randint(key, (), 0, NUM_SYMBOLS))
        return env_state, self._timestep(env_state, jnp.zeros((), jnp.float32))

    def step(self, key: Array, env_state: ProbeState, action: Array) -> tuple[ProbeState, TimeStep]:
        """One step; the time limit truncates `endless`, and the other games terminate at it."""
        count, symbol = env_state
        over = count + 1 >= self.spec.episode_length
        reward = self._reward(symbol, action)
        if self._name == "recall":
            reward = jnp.where(over, reward, 0.0)
        env_state = (count + 1, symbol)
        timestep = self._timestep(env_state, reward)
        cut = jnp.asarray(self._name == "endless")
        return env_state, timestep.replace(terminated=over & ~cut, truncated=over & cut)

    def _reward(self, symbol: Array, action: Array) -> Array:
        if self._name == "matching":
            return jnp.all(action == symbol).astype(jnp.float32)
        if self._name == "climbing":
            return jnp.asarray(CLIMBING)[action[0], action[1]]
        if self._name == "target":
            return -jnp.mean(jnp.square(action[:, 0] - TARGET))
        if self._name == "recall":
            return jnp.mean((action == symbol).astype(jnp.float32))
        if self._name == "unlike":
            return jnp.mean((action == jnp.asarray(self.spec.action_sizes) - 1).astype(jnp.float32))
        return jnp.ones((), jnp.float32)

    def _timestep(self, env_state: ProbeState, reward: Array) -> TimeStep:
        spec = self.spec
        symbol = jax.nn.one_hot(env_state[1], NUM_SYMBOLS)
        if self._name == "recall":
            symbol = jnp.where(env_state[0] == 0, symbol, 0.0)
        padded = jnp.pad(symbol, (0, spec.observation_size - NUM_SYMBOLS))
        return TimeStep(
            observation=jnp.broadcast_to(padded, (spec.num_agents, spec.observation_size)),
            state=symbol,
            action_mask=jnp.asarray(size_mask(spec.action_sizes)),
            active_mask=jnp.ones(spec.num_agents, bool),
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool),
        )
