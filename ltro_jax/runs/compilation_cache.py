"""The persistent compilation cache: a program compiled once starts in seconds the next time."""

import os
from pathlib import Path

import jax

VARIABLE = "LTRO_COMPILATION_CACHE"
WORTH_KEEPING = 0.5  # seconds of compiling


def use_compilation_cache(choice: str | None = None) -> Path | None:
    """Turn the cache on, unless JAX is already configured with one.

    Args:
        choice: a directory, or `"off"`; None takes the environment variable `LTRO_COMPILATION_CACHE`, and without it
            `$XDG_CACHE_HOME/ltro_jax/xla` (`~/.cache/ltro_jax/xla`).
    Returns:
        The directory, or None when off.
    """
    choice = choice or os.environ.get(VARIABLE)
    if choice == "off":
        jax.config.update("jax_compilation_cache_dir", None)
        return None
    configured = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if choice is None and configured:
        return Path(configured)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = Path(choice) if choice else base / "ltro_jax" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(directory))
    threshold = min(jax.config.jax_persistent_cache_min_compile_time_secs, WORTH_KEEPING)  # type: ignore[attr-defined]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", threshold)
    return directory
