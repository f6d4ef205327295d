"""Settings: static sizes (they recompile) apart from traced hyper-parameters (they vmap).

A `Config` is three frozen groups: `Static` is hashable and decides the compiled program, `Hypers` is a pytree of
scalars that one program takes as input, `Run` only steers the host. Setting names are unique over the three, so
that a flat dictionary, a TOML preset and a command line all mean the same thing.
"""

from ltro_jax.config.coercion import SettingsError
from ltro_jax.config.config import SETTINGS, Config, Member
from ltro_jax.config.groups import Hypers, Run, Static

__all__ = ["SETTINGS", "Config", "Hypers", "Member", "Run", "SettingsError", "Static"]
