"""Trained policies scored in the environment of the package with which published results were computed."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ltro_jax.envs.pettingzoo import PettingZooBatch
from ltro_jax.runs.load import Run
from ltro_jax.runs.policy import Policy
from ltro_jax.training import make_train
from ltro_jax.training.evaluation import KINDS


def evaluate_in_pettingzoo(
    run: Run, num_episodes: int = 100, *, best: bool = False, kinds: Sequence[str] = KINDS
) -> xr.Dataset:
    """As `run.evaluate`, in the installed PettingZoo 1.22; all kinds play from the same initial states.

    Args:
        run: of an MPE task with `physics = "pettingzoo"`.
        num_episodes, best, kinds: as in `run.evaluate`.
    Returns:
        Variables along `member`; NaN for a member without best actors.
    Raises:
        SettingsError: another task or physics, or PettingZoo 1.22 is not installed.
        RunError: no usable checkpoint, or none with best actors.
    """
    parts = make_train(run.config).parts
    batch = PettingZooBatch(run.config.static, parts.spec, num_episodes)
    restored = run.restore_actors(best=best)
    state, members = restored.state, run.config.members

    def act(params: Any, hypers: Any, observation: Any, hidden: Any, key: Any) -> Any:
        return Policy(params, hypers, parts).act(observation, hidden, key=key)

    act = jax.jit(act)
    columns: dict[str, list[float]] = {f"eval_return_{kind}": [] for kind in kinds}
    for index, member in enumerate(members):
        params = jax.tree.map(lambda leaf, index=index: jnp.asarray(leaf[index]), state.agents.params)
        for kind in kinds:
            if best and not state.best.iteration[index]:
                columns[f"eval_return_{kind}"].append(np.nan)
                continue
            seeds = np.random.default_rng(member.seed).integers(2**31, size=num_episodes)
            observation, total = batch.reset(seeds.tolist()), np.zeros(num_episodes)
            hidden = parts.actor.initial_hidden((num_episodes, parts.spec.num_agents))
            for key in jax.random.split(jax.random.key(member.seed), parts.spec.episode_length):
                action, hidden = act(params, member.hypers, observation, hidden, key if kind == "sampled" else None)
                observation, reward = batch.step(np.asarray(action))
                total += reward
            columns[f"eval_return_{kind}"].append(float(total.mean()))
    results: dict[str, Any] = {name: ("member", np.array(values)) for name, values in columns.items()}
    if best:
        results["best_iteration"] = ("member", state.best.iteration)
    results["frozen_at"] = ("member", state.failed_at)
    coordinates = {"seed": ("member", [member.seed for member in members])}
    attributes = {
        "actors": "best" if best else "newest",
        "episodes": num_episodes,
        "iteration": restored.iteration,
        "team_reward": parts.spec.team_reward_words,
        "environment": "PettingZoo 1.22",
    }
    return xr.Dataset(results, coordinates, attributes)
