"""What the studies share: runs that go on where they stopped, the random policy, and tables."""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import xarray as xr

import ltro_jax
from ltro_jax.analysis.statistics import Interval
from ltro_jax.envs import make_env


def train_or_resume(config: ltro_jax.Config, path: Path) -> ltro_jax.Run:
    """The finished run; leaves the script after Ctrl-C, or if the directory holds a run with other settings."""
    if not (path / "settings.json").exists():
        run = ltro_jax.train(config, path)
    elif ltro_jax.load_run(path).config == config:
        run = ltro_jax.resume(path)
    else:
        sys.exit(f"{path} holds a run with other settings; move it away")
    if not run.finished:
        sys.exit(f"stopped; `{' '.join(sys.argv)}` goes on (not `ltro resume`)")
    return run


def random_policy_return(config: ltro_jax.Config, num_episodes: int = 2000) -> float:
    """Mean episode return of actions drawn uniformly from the action box [0, 1]."""
    env = make_env(config.static)
    shape = (env.spec.num_agents, env.spec.action_size)

    def episode(key):
        reset_key, act_key = jax.random.split(key)
        env_state, _ = env.reset(reset_key)

        def step(env_state, step_key):
            action_key, env_key = jax.random.split(step_key)
            env_state, timestep = env.step(env_key, env_state, jax.random.uniform(action_key, shape))
            return env_state, timestep.reward

        return jax.lax.scan(step, env_state, jax.random.split(act_key, env.spec.episode_length))[1].sum()

    return float(jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), num_episodes)).mean())


def write_curves(dataset: xr.Dataset, names: Sequence[str], path: Path) -> None:
    """Every seed's curves of the metrics `names`, as compressed arrays under their names."""
    arrays = {name: dataset[name].values for name in (*names, "env_steps", "seed")}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def table_row(title: str, intervals: Sequence[Interval]) -> str:
    """A line of a Markdown table: point [low, high] in each cell."""
    cells = (f"{i.point:.2f} [{i.low:.2f}, {i.high:.2f}]" for i in intervals)
    return f"| {title} | " + " | ".join(cells) + " |"
