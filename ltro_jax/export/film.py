"""Play a policy and draw whole episodes as GIF, MP4 or a web page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms import UpdateRule
from ltro_jax.config import SettingsError
from ltro_jax.export.episodes import SUFFIXES, Episode, film
from ltro_jax.process.files import write_atomically
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.policy import Policy, load_policy
from ltro_jax.storage.errors import disk_errors
from ltro_jax.types import Array, TimeStep

WEB_PAGE = ".html"


def render(
    path: str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    iteration: int | None = None,
    point: Mapping[str, float] | None = None,
    best: bool = False,
    rule: type[UpdateRule] | None = None,
    episodes: int = 1,
    max_steps: int | None = None,
    sampled: bool = False,
    fps: int = 10,
    reset_seed: int = 0,
) -> Path:
    """Draw episodes of one policy of a run, or of an exported policy.

    Args:
        path: the run, or the exported policy.
        out: the file. Its suffix is the format: `.gif`, `.mp4` (needs ffmpeg), or `.html` for mabrax (one episode).
        seed, iteration, point, best, rule: select the policy, as for `load_policy`.
        episodes: number of episodes, drawn in sequence.
        max_steps: most steps of each episode; None = to its end.
        sampled: sample actions instead of acting greedily.
        fps: frames per second.
        reset_seed: selects the episodes; the first episode does not depend on their number.
    Returns:
        `out`.
    Raises:
        SettingsError: a number is out of range, or the task cannot be drawn in the format of the suffix.
        RunError: the policy does not exist, or `out` cannot be written.
    """
    out = Path(out)
    _check_numbers(reset_seed, episodes=episodes, max_steps=max_steps, fps=fps)
    use_compilation_cache()
    policy = load_policy(path, seed, iteration, point, best, rule)
    _check_form(policy, out, episodes)
    look = getattr(policy.env, "scene", lambda env_state: env_state)
    played = play(policy, look, episodes, max_steps, sampled, reset_seed)
    try:
        if out.suffix == WEB_PAGE:
            data = cast(Any, policy.env).webpage(_unstack(played[0].scenes)).encode()
        else:
            data = film(played, policy.spec.name, fps, out.suffix)
    except ValueError as error:
        raise SettingsError(f"{out} cannot be drawn: {error}") from error
    with disk_errors(f"cannot write {out}", "choose another file with -o"):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, data)
    return out


class Playing(NamedTuple):
    """An episode between two steps."""

    env_state: Any
    timestep: TimeStep
    hidden: Any


def play(
    policy: Policy,
    look: Callable[[Any], Any],
    num_episodes: int,
    max_steps: int | None = None,
    sampled: bool = False,
    reset_seed: int = 0,
) -> list[Episode]:
    """Play whole episodes in one compiled scan; other arguments as in `render`.

    Args:
        look: pure function of an environment state, whose result is kept for every step.
        num_episodes: E, all of them in parallel.
    """
    num_steps = min(max_steps or policy.spec.episode_length, policy.spec.episode_length)

    @jax.jit
    @jax.vmap
    def episode(number: Array) -> tuple[Any, tuple[Array, Array, Array | None]]:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(reset_seed), number), 1 + num_steps)

        def act_and_step(playing: Playing, step_key: Array) -> tuple[Playing, tuple[Any, TimeStep]]:
            action_key, env_key = jax.random.split(step_key)
            key = action_key if sampled else None
            timestep = playing.timestep
            action, hidden = policy.act(timestep.observation, playing.hidden, timestep.action_mask, key)
            env_state, timestep = policy.env.step(env_key, playing.env_state, action)
            return Playing(env_state, timestep, hidden), (look(env_state), timestep)

        start = Playing(*policy.env.reset(keys[0]), policy.initial_state())
        _, (later, after) = jax.lax.scan(act_and_step, start, keys[1:])
        scenes = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), look(start.env_state), later)
        return scenes, (after.reward, after.done, after.won)

    scenes, (rewards, done, won) = jax.device_get(episode(jnp.arange(num_episodes)))
    lengths = np.where(done.any(1), done.argmax(1) + 1, num_steps)
    return [
        Episode(
            jax.tree.map(lambda leaf, index=index, length=length: leaf[index, : length + 1], scenes),
            rewards[index, :length],
            None if won is None or not done[index].any() else bool(won[index, length - 1]),
        )
        for index, length in enumerate(lengths)
    ]


def _check_numbers(reset_seed: int, **at_least_one: int | None) -> None:
    """Raise `SettingsError` for a number that is out of range."""
    for name, value in at_least_one.items():
        if value is not None and value < 1:
            raise SettingsError(f"{name} = {value} is not allowed; it must be at least 1")
    if not 0 <= reset_seed < 2**32:
        raise SettingsError(f"reset_seed = {reset_seed} is not allowed; it must be from 0 to {2**32 - 1}")


def _check_form(policy: Policy, out: Path, episodes: int) -> None:
    """Raise `SettingsError` if the task cannot be drawn, or not in the format of the suffix."""
    task, is_page = policy.spec.name, hasattr(policy.env, "webpage")
    if not is_page and not hasattr(policy.env, "scene"):
        raise SettingsError(f"task = {task!r} cannot be drawn; choose a task of mpe, smax, swimmer or mabrax")
    suffixes = (WEB_PAGE,) if is_page else SUFFIXES
    if out.suffix not in suffixes:
        raise SettingsError(
            f"output = {out} is not possible: {task} is drawn as {' or '.join(suffixes)}; use that suffix"
        )
    if is_page and episodes > 1:
        raise SettingsError(
            f"episodes = {episodes} do not fit on one page; draw one episode, and select another with reset_seed"
        )


def _unstack(tree: Any) -> list[Any]:
    """Leaves `[T, …]` → T trees."""
    leaves, structure = jax.tree.flatten(tree)
    return [jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True)]
