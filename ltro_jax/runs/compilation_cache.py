"""The persistent compilation cache: a program that was compiled before starts in seconds."""

import os
from contextvars import ContextVar
from pathlib import Path

import jax

VARIABLE = "LTRO_COMPILATION_CACHE"
WORTH_KEEPING = 0.5  # seconds of compiling
CHOICE: ContextVar[str | None] = ContextVar("compilation_cache", default=None)  # of a command


def use_compilation_cache(choice: str | None = None) -> Path | None:
    """Turn the cache on, unless JAX already has one.

    Args:
        choice: a directory, or `"off"`; None = `CHOICE`, else the environment variable `LTRO_COMPILATION_CACHE`, else
            `$XDG_CACHE_HOME/ltro_jax/xla` (`~/.cache/ltro_jax/xla`).
    Returns:
        The directory; None if the cache is off or the user has no home directory.
    """
    choice = choice or CHOICE.get() or os.environ.get(VARIABLE)
    configured = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if choice is None and configured:
        return Path(configured)
    directory = os.path.expanduser(choice) if choice else _default()
    if directory in ("off", None):
        jax.config.update("jax_compilation_cache_dir", None)
        return None
    jax.config.update("jax_compilation_cache_dir", directory)
    threshold = min(jax.config.jax_persistent_cache_min_compile_time_secs, WORTH_KEEPING)  # type: ignore[attr-defined]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", threshold)
    return Path(directory)


def _default() -> str | None:
    """The default directory; None if no variable sets it and the user has no home (an unknown id in a container)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return None if base.startswith("~") else os.path.join(base, "ltro_jax", "xla")
