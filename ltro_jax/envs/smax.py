"""SMAX battles of JaxMARL 0.2 against its heuristic enemy.

Differences from JaxMARL: an episode has at most `episode_length` steps (JaxMARL plays one more); it terminates if a
side is wiped out and is truncated at the time limit (JaxMARL does not distinguish the two); `step` never resets; the
reset state has no weakly typed leaves; masks are boolean. All units have the same reward, which is the team reward: the
fraction of the enemies' health that was removed, and 1 for a victory. The global state is JaxMARL's `world_state`. Dead
units observe zeros and can only stop; they do not count in the loss but still receive the team reward.
"""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.config import SettingsError, Static
from ltro_jax.envs.base import EnvSpec, EnvState
from ltro_jax.envs.scenes import BattleScene
from ltro_jax.process.imports import import_quietly
from ltro_jax.types import Array, TimeStep

DEFAULT_EPISODE_LENGTH = 100
UNIT_TYPES = {"marine": 0, "marauder": 1, "stalker": 2, "zealot": 3, "zergling": 4, "hydralisk": 5}
REGISTERED = (  # by JaxMARL
    "3m",
    "2s3z",
    "25m",
    "3s5z",
    "8m",
    "5m_vs_6m",
    "10m_vs_11m",
    "27m_vs_30m",
    "3s5z_vs_3s6z",
    "3s_vs_5z",
    "6h_vs_8z",
    "smacv2_5_units",
    "smacv2_10_units",
    "smacv2_20_units",
)
ADDED = {  # battles of SMAC that JaxMARL lacks: (allies, enemies), each a sequence of (unit type, count)
    "8m_vs_9m": ((("marine", 8),), (("marine", 9),)),
    "corridor": ((("zealot", 6),), (("zergling", 24),)),  # the numbers of SMAC's corridor on an open field
}
SCENARIOS = (*REGISTERED, *ADDED)


def make_smax(scenario: str, settings: Static) -> "SMAX":
    """Adapter for `smax/<scenario>`."""
    return SMAX(scenario, settings)


class SMAX:
    """A battle as an `Environment`; the agents are the allies."""

    def __init__(self, scenario: str, settings: Static):
        import_quietly("jaxmarl.environments.smax")
        from jaxmarl.environments.smax import HeuristicEnemySMAX
        from jaxmarl.environments.smax.smax_env import Scenario, map_name_to_scenario

        episode_length = settings.episode_length or DEFAULT_EPISODE_LENGTH
        if episode_length < 2:
            raise SettingsError(
                f"episode_length = {episode_length} is not possible on smax/{scenario}; it must be at least 2"
            )
        battle = _added(scenario, Scenario) if scenario in ADDED else map_name_to_scenario(scenario)
        self._env = HeuristicEnemySMAX(scenario=battle, max_steps=episode_length - 1)
        agents, spaces = tuple(self._env.agents), cast(dict[str, Any], self._env.action_spaces)
        self.spec = EnvSpec(
            name=f"smax/{scenario}",
            agents=agents,
            observation_sizes=tuple(int(self._env.observation_spaces[agent].shape[0]) for agent in agents),
            action_sizes=tuple(int(spaces[agent].n) for agent in agents),
            discrete=True,
            state_size=int(self._env.state_size),
            episode_length=episode_length,
            team_reward="shared",
            winnable=True,
            agent_types=tuple(str(kind) for kind in np.asarray(battle.unit_types)[: len(agents)]),
        )

    def reset(self, key: Array) -> tuple[EnvState, TimeStep]:
        """Start a battle."""
        observations, env_state = self._env.reset(key)
        env_state = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), env_state)  # no weak types in the carry
        return env_state, self._timestep(env_state, observations, jnp.zeros((), jnp.float32), jnp.zeros((), bool))

    def step(self, key: Array, env_state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        """One step of all allies and enemies; `action` is `[N]` int32."""
        agents = self.spec.agents
        actions = {agent: action[index] for index, agent in enumerate(agents)}
        observations, env_state, rewards, dones, _ = self._env.step_env(key, env_state, actions)
        return env_state, self._timestep(env_state, observations, rewards[agents[0]], dones["__all__"])

    def scene(self, env_state: EnvState) -> BattleScene:
        """The scene to draw."""
        state, env = env_state.state, self._env
        num_allies, num_units = self.spec.num_agents, len(state.unit_alive)
        is_ally = jnp.arange(num_units) < num_allies
        victim = state.prev_attack_actions - env.num_movement_actions  # an ally counts enemies from the first one
        target = jnp.where(
            is_ally, num_allies + victim, num_allies - 1 - victim
        )  # an enemy counts allies from the last one
        return BattleScene(
            position=state.unit_positions,
            radius=env.unit_type_radiuses[state.unit_types],
            health=jnp.where(state.unit_alive, state.unit_health / env.unit_type_health[state.unit_types], 0.0),
            target=jnp.where(victim >= 0, target, -1).astype(jnp.int32),
            is_ally=is_ally,
        )

    def _timestep(self, env_state: EnvState, observations: dict[str, Array], reward: Array, done: Array) -> TimeStep:
        spec, alive = self.spec, env_state.state.unit_alive
        ours, theirs = alive[: spec.num_agents], alive[spec.num_agents :]
        available = self._env.get_avail_actions(env_state)
        terminated = done & ~(jnp.any(ours) & jnp.any(theirs))
        return TimeStep(
            observation=jnp.stack([observations[agent] for agent in spec.agents]),
            state=observations["world_state"],
            action_mask=jnp.stack([available[agent] for agent in spec.agents]).astype(bool),
            active_mask=ours,
            reward=reward,
            terminated=terminated,
            truncated=done & ~terminated,
            won=done & jnp.any(ours) & ~jnp.any(theirs),
        )


def _added(name: str, scenario_type: Any) -> Any:
    """A battle of `ADDED` as a scenario of JaxMARL."""
    sides = [[UNIT_TYPES[unit] for unit, count in side for _ in range(count)] for side in ADDED[name]]
    types = jnp.asarray([*sides[0], *sides[1]], jnp.uint8)
    return scenario_type(types, len(sides[0]), len(sides[1]), False, False)
