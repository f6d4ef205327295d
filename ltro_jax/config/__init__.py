"""Settings: static sizes (they recompile) apart from traced hyper-parameters (they vmap).

A `Config` is three frozen groups: `Static` is hashable and decides the compiled program, `Hypers` is a pytree of
scalars that one program takes as input, `RunSettings` only steers the host. Setting names are unique over the three, so
that a flat dictionary, a TOML preset and a command line all mean the same thing.

What needs JAX is imported at its first use: the help of a command does not wait for it.
"""

from typing import TYPE_CHECKING, Any

from ltro_jax.config.coercion import SettingsError
from ltro_jax.config.groups import RunSettings, Static
from ltro_jax.config.specs import SETTINGS
from ltro_jax.process.imports import first_use

if TYPE_CHECKING:
    from ltro_jax.config.config import Config, Member
    from ltro_jax.config.hypers import Hypers

__all__ = ["SETTINGS", "Config", "Hypers", "Member", "RunSettings", "SettingsError", "Static"]

_LATER = {"Config": "config", "Member": "config", "Hypers": "hypers"}


def __getattr__(name: str) -> Any:
    return first_use(__name__, _LATER, name)
