"""MPE scenarios of the installed PettingZoo 1.22, many side by side in NumPy, to score trained policies in them."""

import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ltro_jax.config import SettingsError, Static
from ltro_jax.config.families import MPEOptions
from ltro_jax.envs.base import EnvSpec
from ltro_jax.process.imports import import_quietly

VERSION = "1.22."
MODULES = {
    "mpe/simple_spread": "simple_spread_v2",
    "mpe/simple_reference": "simple_reference_v2",
    "mpe/simple_speaker_listener": "simple_speaker_listener_v3",
}


class PettingZooBatch:
    """K environments of PettingZoo; all episodes end together, at the time limit.

    Args:
        static: the settings of a run with `physics = "pettingzoo"`.
        spec: of its environment.
        count: K.
    Raises:
        SettingsError: a task or physics without a counterpart there, or PettingZoo 1.22 is not installed.
    """

    def __init__(self, static: Static, spec: EnvSpec, count: int):
        options = static.options
        if static.task not in MODULES:
            raise SettingsError(f"env = 'pettingzoo' has no {static.task}; choose a run of one of {', '.join(MODULES)}")
        assert isinstance(options, MPEOptions)
        if options.physics != "pettingzoo":
            raise SettingsError(
                f"env = 'pettingzoo' needs a run with physics = 'pettingzoo'; this one has {options.physics!r}, with "
                "which continuous actions push in the opposite direction"
            )
        module = _module(MODULES[static.task])
        size = {"N": spec.num_agents} if static.task == "mpe/simple_spread" else {}
        discrete = not options.continuous_actions
        make = lambda: module.parallel_env(max_cycles=spec.episode_length, continuous_actions=not discrete, **size)
        self._envs = [make() for _ in range(count)]
        self._spec, self._discrete, self._agent_id = spec, discrete, static.agent_id

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """Start K episodes; observations `[K, N, O]` float32."""
        return self._padded([env.reset(seed=int(seed)) for env, seed in zip(self._envs, seeds, strict=True)])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Observations `[K, N, O]` and team rewards `[K]` after actions `[K, N]`, or `[K, N, A]` clipped to [0, 1]."""
        observations, rewards = [], []
        for env, joint in zip(self._envs, action, strict=True):
            observation, reward, *_ = env.step(self._named(joint))
            observations.append(observation)
            rewards.append(list(reward.values()))
        combine = np.sum if self._spec.team_reward == "sum" else np.mean
        return self._padded(observations), combine(np.array(rewards), axis=1)

    def _named(self, joint: np.ndarray) -> dict[str, Any]:
        sizes = zip(self._envs[0].possible_agents, joint, self._spec.action_sizes, strict=True)
        if self._discrete:
            return {agent: int(own) for agent, own, _ in sizes}
        return {agent: np.clip(own[:size], 0.0, 1.0).astype(np.float32) for agent, own, size in sizes}

    def _padded(self, observations: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
        number, width = self._spec.num_agents, self._spec.observation_size
        prefix = np.eye(number) if self._agent_id else np.zeros((number, 0))
        padded = np.zeros((len(observations), number, width), np.float32)
        for row, observation in zip(padded, observations, strict=True):
            for index, own in enumerate(observation.values()):
                whole = np.concatenate([prefix[index], own])
                row[index, : len(whole)] = whole
        return padded


def _module(name: str) -> Any:
    """The module of a scenario."""
    try:
        version = importlib.metadata.version("pettingzoo")
    except importlib.metadata.PackageNotFoundError:
        version = "no version"
    how = f"env = 'pettingzoo' needs PettingZoo {VERSION}*; get it with pip install \"pettingzoo=={VERSION}*\" pygame"
    if not version.startswith(VERSION):
        raise SettingsError(f"{how} ({version} is installed)")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame starts with the environment, and there is no window
    try:
        return import_quietly(f"pettingzoo.mpe.{name}")
    except ImportError as error:
        raise SettingsError(f"{how} ({error})") from error
