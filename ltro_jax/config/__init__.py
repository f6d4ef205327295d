"""Settings: static settings, which recompile the program, and traced hyper-parameters, which `vmap` batches.

A `Config` consists of three frozen groups: `Static` is hashable and determines the compiled program, `Hypers` is a
pytree of scalars that the program takes as input, and `RunSettings` controls the host loop. `Static.options` holds the
options of the environment family. Setting names are unique across the groups, so a flat dictionary, a TOML preset and a
command line use the same names.

Modules that need JAX are imported at first use, so that `ltro --help` starts without it.
"""

from typing import TYPE_CHECKING, Any

from ltro_jax.config.coercion import SettingsError
from ltro_jax.config.families import EnvOptions
from ltro_jax.config.groups import SETTINGS, RunSettings, Static, find_setting
from ltro_jax.config.specs import setting
from ltro_jax.process.imports import first_use

if TYPE_CHECKING:
    from ltro_jax.config.config import Config, Member
    from ltro_jax.config.hypers import Hypers

__all__ = [
    "SETTINGS",
    "Config",
    "EnvOptions",
    "Hypers",
    "Member",
    "RunSettings",
    "SettingsError",
    "Static",
    "find_setting",
    "setting",
]

_LATER = {"Config": "config", "Member": "config", "Hypers": "hypers"}


def __getattr__(name: str) -> Any:
    return first_use(__name__, _LATER, name)
