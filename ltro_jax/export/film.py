"""Watching a policy: whole episodes as GIF, MP4 or a web page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.config import SettingsError
from ltro_jax.export.episodes import SUFFIXES, Episode, film
from ltro_jax.process.files import write_atomically
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.policy import Policy, load_policy
from ltro_jax.storage.errors import disk_errors
from ltro_jax.types import Array

WEB_PAGE = ".html"


def render(
    path: str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    iteration: int | None = None,
    point: Mapping[str, float] | None = None,
    best: bool = False,
    episodes: int = 1,
    max_steps: int | None = None,
    sampled: bool = False,
    fps: int = 10,
    reset_seed: int = 0,
) -> Path:
    """Draw episodes of one policy of a run, or of an exported policy.

    Args:
        out: the file; its suffix decides: `.gif`, `.mp4` (takes ffmpeg), or for mabrax `.html` (one episode).
        seed, iteration, point, best: which policy, as for `load_policy`.
        episodes: how many, one after another.
        max_steps: of each episode; None = to its end.
        sampled: act by chance instead of greedily.
        fps: frames per second.
        reset_seed: which episodes; the first is the same for any number of them.
    Returns:
        `out`.
    Raises:
        SettingsError: a number that is not possible, or a suffix that is none or not the task's.
        RunError: no such policy, or `out` cannot be written.
    """
    out = Path(out)
    for name, value in (("episodes", episodes), ("max_steps", max_steps), ("fps", fps)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} = {value} is not allowed; it must be at least 1")
    if not 0 <= reset_seed < 2**32:
        raise SettingsError(f"reset_seed = {reset_seed} is not allowed; it must be from 0 to {2**32 - 1}")
    use_compilation_cache()
    policy = load_policy(path, seed, iteration, point, best)
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


def play(
    policy: Policy,
    look: Callable[[Any], Any],
    num_episodes: int,
    max_steps: int | None = None,
    sampled: bool = False,
    reset_seed: int = 0,
) -> list[Episode]:
    """Whole episodes in one compiled scan; arguments as those of `render`.

    Args:
        look: what is kept of each environment state, pure.
    """
    num_steps = min(max_steps or policy.spec.episode_length, policy.spec.episode_length)

    @jax.jit
    @jax.vmap
    def episode(number: Array) -> tuple[Any, list[Any]]:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(reset_seed), number), 1 + num_steps)

        def act_and_step(carry: tuple, step_key: Array) -> tuple[tuple, tuple]:
            env_state, timestep, hidden = carry
            action_key, env_key = jax.random.split(step_key)
            key = action_key if sampled else None
            action, hidden = policy.act(timestep.observation, hidden, timestep.action_mask, key)
            env_state, timestep = policy.env.step(env_key, env_state, action)
            return (env_state, timestep, hidden), (look(env_state), timestep.reward, timestep.done, timestep.won)

        env_state, timestep = policy.env.reset(keys[0])
        carry = (env_state, timestep, policy.initial_state())
        _, (after, *outcome) = jax.lax.scan(act_and_step, carry, keys[1:])
        return jax.tree.map(lambda one, rest: jnp.concatenate([one[None], rest]), look(env_state), after), outcome

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


def _check_form(policy: Policy, out: Path, episodes: int) -> None:
    """Refuse what cannot be drawn, or not so."""
    task, is_page = policy.spec.name, hasattr(policy.env, "webpage")
    if not is_page and not hasattr(policy.env, "scene"):
        raise SettingsError(f"task = {task!r} has nothing to draw; those of mpe, smax, swimmer and mabrax have")
    suffixes = (WEB_PAGE,) if is_page else SUFFIXES
    if out.suffix not in suffixes:
        raise SettingsError(f"output = {out} cannot be made: {task} is drawn as {' or '.join(suffixes)}; end it so")
    if is_page and episodes > 1:
        raise SettingsError(f"episodes = {episodes} do not fit on one page; draw one, and others by reset_seed")


def _unstack(tree: Any) -> list[Any]:
    """Leaves `[T, …]` → T trees."""
    leaves, structure = jax.tree.flatten(tree)
    return [jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True)]
