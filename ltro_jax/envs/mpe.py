"""Multi-agent particle environments of JaxMARL 0.2, with its physics or that of PettingZoo 1.22 (see `mpe_physics`).

Other differences from JaxMARL: an episode has exactly `episode_length` steps (JaxMARL tests its counter before it
increments it and plays one step more) and ends by a time limit, not by a termination; `step` never resets; the reset
state has no weakly typed leaves; continuous actions are clipped to [0, 1]; the rewards of the agents are combined into
one team reward; and the concatenated observations are the global state.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ltro_jax.config import SettingsError, Static
from ltro_jax.config.families import MPEOptions
from ltro_jax.envs.base import EnvSpec, EnvState, combine_rewards, pad_last, size_mask
from ltro_jax.envs.mpe_physics import with_pettingzoo_physics
from ltro_jax.envs.mpe_spread import simple_spread_class
from ltro_jax.envs.scenes import ParticleScene
from ltro_jax.process.imports import import_quietly
from ltro_jax.types import Array, TimeStep

DEFAULT_EPISODE_LENGTH = 25
SCENARIOS = {
    "simple_spread": None,  # see mpe_spread
    "simple_reference": "SimpleReferenceMPE",
    "simple_speaker_listener": "SimpleSpeakerListenerMPE",
}


def make_mpe(scenario: str, settings: Static) -> "MPE":
    """Adapter for `mpe/<scenario>`.

    Raises:
        SettingsError: `num_agents` where the scenario's number is fixed.
    """
    options = settings.options
    assert isinstance(options, MPEOptions), options
    if options.num_agents is not None and scenario != "simple_spread":
        raise SettingsError(
            f"num_agents = {options.num_agents} cannot be chosen for mpe/{scenario}, which has 2 agents; leave it out"
        )
    return MPE(scenario, options, settings.episode_length or DEFAULT_EPISODE_LENGTH)


class MPE:
    """An MPE scenario behind the `Environment` protocol."""

    def __init__(self, scenario: str, options: MPEOptions, episode_length: int):
        mpe = import_quietly("jaxmarl.environments.mpe")
        from jaxmarl.environments.mpe.default_params import CONTINUOUS_ACT, DISCRETE_ACT

        discrete = not options.continuous_actions
        arguments: dict[str, Any] = {
            "action_type": DISCRETE_ACT if discrete else CONTINUOUS_ACT,
            "max_steps": episode_length - 1,
        }
        if scenario == "simple_spread" and options.num_agents is not None:
            arguments |= {"num_agents": options.num_agents, "num_landmarks": options.num_agents}
        by_agent = SCENARIOS[scenario]
        self._by_agent = by_agent is not None  # JaxMARL's dictionaries, or arrays [N, …]
        environment = simple_spread_class() if by_agent is None else getattr(mpe, by_agent)
        if options.physics == "pettingzoo":
            environment = with_pettingzoo_physics(environment, discrete)
        self._env = environment(**arguments)
        agents = tuple(self._env.agents)
        spaces = [self._env.action_space(agent) for agent in agents]
        observation_sizes = tuple(int(self._env.observation_space(agent).shape[0]) for agent in agents)
        self.spec = EnvSpec(
            name=f"mpe/{scenario}",
            agents=agents,
            observation_sizes=observation_sizes,
            action_sizes=tuple(int(s.n if discrete else s.shape[0]) for s in spaces),
            discrete=discrete,
            state_size=sum(observation_sizes),
            episode_length=episode_length,
            team_reward=options.team_reward,
        )

    def reset(self, key: Array) -> tuple[EnvState, TimeStep]:
        """Start an episode."""
        observations, env_state = self._env.reset(key)
        env_state = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), env_state)  # no weak types in the carry
        return env_state, self._timestep(observations, jnp.zeros((), jnp.float32), jnp.zeros((), bool))

    def step(self, key: Array, env_state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        """One step of all agents; `action` is `[N]` int32, or `[N, A]` float32 clipped to [0, 1] here."""
        spec = self.spec
        actions: Any = action if spec.discrete else jnp.clip(action, 0.0, 1.0)
        if self._by_agent:
            actions = {
                agent: actions[index] if spec.discrete else actions[index, : spec.action_sizes[index]]
                for index, agent in enumerate(spec.agents)
            }
        noiseless = jax.random.key(0)  # JaxMARL scales its noise by 0; with a constant key, XLA folds the draw
        observations, env_state, rewards, dones, _ = self._env.step_env(noiseless, env_state, actions)
        if self._by_agent:
            rewards = jnp.stack([rewards[agent] for agent in spec.agents])
        return env_state, self._timestep(observations, combine_rewards(rewards, spec.team_reward), dones["__all__"])

    def scene(self, env_state: EnvState) -> ParticleScene:
        """The scene to draw."""
        num_agents, goal = self.spec.num_agents, env_state.goal
        if goal is None:
            goal = jnp.full(num_agents, -1, jnp.int32)
        else:  # the speaker does not move: the landmark is the goal of the listener
            goal = jnp.full(num_agents, -1).at[-goal.size :].set(num_agents + goal.reshape(-1))
        return ParticleScene(
            position=env_state.p_pos,
            velocity=env_state.p_vel[:num_agents],
            radius=jnp.asarray(self._env.rad),
            goal=goal.astype(jnp.int32),
            message=env_state.c,
            speaks=jnp.asarray(self._env.silent) == 0,
        )

    def _timestep(self, observations: Any, reward: Array, truncated: Array) -> TimeStep:
        spec = self.spec
        if self._by_agent:
            ordered = [observations[agent] for agent in spec.agents]
            state = jnp.concatenate(ordered)
            observations = jnp.stack([pad_last(observation, spec.observation_size) for observation in ordered])
        else:
            state = observations.reshape(-1)
        return TimeStep(
            observation=observations,
            state=state,
            action_mask=jnp.asarray(size_mask(spec.action_sizes)),
            active_mask=jnp.ones(spec.num_agents, bool),
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=truncated,
        )
