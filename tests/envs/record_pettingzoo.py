"""Episodes of PettingZoo 1.22 under random actions, to compare ours with: `python tests/envs/record_pettingzoo.py`.

Writes `golden/mpe_pettingzoo.npz`. Needs `pip install "pettingzoo==1.22.*" pygame`
(made with PettingZoo 1.22.3). The file holds for each case, under `<case>/`: `position` `[K, E, 2]` of agents and
landmarks after the reset, `goal` `[K, 2]` (the landmark of each agent, -1 = none), `action` `[K, 25, N, A]` float32 in
[0, 1] (zeros beyond an agent's size) or `[K, 25, N]` int32, `reward` `[K, 25, N]` and `observation` `[K, 26, N, O]`
float32, the first one that of the reset.
"""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "mpe_pettingzoo.npz"
NUM_EPISODES, NUM_STEPS, SEED = 2, 25, 7
MODULES = {
    "simple_spread": "simple_spread_v2",
    "simple_reference": "simple_reference_v2",
    "simple_speaker_listener": "simple_speaker_listener_v3",
}


class Case(NamedTuple):
    """A scenario, with its number of agents where that can be chosen."""

    scenario: str
    continuous: bool
    num_agents: int | None = None

    @property
    def name(self) -> str:
        """The name in the file."""
        words = [self.scenario, str(self.num_agents or ""), "continuous" if self.continuous else "discrete"]
        return "_".join(filter(None, words))


CASES = [
    Case(scenario, continuous, num_agents)
    for scenario, num_agents in [
        ("simple_spread", 3),
        ("simple_spread", 5),
        ("simple_reference", None),
        ("simple_speaker_listener", None),
    ]
    for continuous in (True, False)
]


def record(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Episodes of PettingZoo."""
    module: Any = importlib.import_module(f"pettingzoo.mpe.{MODULES[case.scenario]}")
    size = {} if case.num_agents is None else {"N": case.num_agents}
    env = module.parallel_env(max_cycles=NUM_STEPS, continuous_actions=case.continuous, **size)
    rng = np.random.default_rng(seed)
    episodes = [_episode(env, case, seed + index, rng) for index in range(NUM_EPISODES)]
    return {name: np.stack([episode[name] for episode in episodes]) for name in episodes[0]}


def _episode(env: Any, case: Case, seed: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    observations = [env.reset(seed=seed)]
    world, agents = env.unwrapped.world, env.possible_agents
    position = np.array([entity.state.p_pos for entity in world.entities])
    goals = [world.landmarks.index(a.goal_b) if getattr(a, "goal_b", None) else -1 for a in world.agents]
    goals = goals[::-1]  # an agent holds the goal of the other one
    actions, rewards = [], []
    for _ in range(NUM_STEPS):
        spaces = [env.action_space(agent) for agent in agents]
        if case.continuous:
            drawn = [rng.uniform(size=space.shape).astype(np.float32) for space in spaces]
        else:
            drawn = [rng.integers(space.n) for space in spaces]
        observation, reward, *_ = env.step({a: np.copy(x) for a, x in zip(agents, drawn, strict=True)})
        observations.append(observation)
        rewards.append([reward[agent] for agent in agents])
        actions.append(_padded(drawn) if case.continuous else np.array(drawn, np.int32))
    assert not env.agents  # the time limit
    return {
        "position": position,
        "goal": np.array(goals),
        "action": np.array(actions),
        "reward": np.array(rewards),
        "observation": np.array([_padded([o[agent] for agent in agents]) for o in observations]),
    }


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    widest = max(map(len, rows))
    return np.array([np.pad(row, (0, widest - len(row))) for row in rows], np.float32)


if __name__ == "__main__":
    arrays = {f"{case.name}/{name}": array for case in CASES for name, array in record(case, SEED).items()}
    np.savez_compressed(GOLDEN, **arrays)  # pyright: ignore[reportArgumentType]
