"""Environments: the protocol, an adapter file for each family, and the registry."""

from ltro_jax.config import EnvOptions, setting
from ltro_jax.envs.base import Environment, EnvSpec, step_and_reset
from ltro_jax.envs.registry import Family, list_tasks, make_env, missing_extra, register_family
from ltro_jax.types import TimeStep

__all__ = [
    "EnvOptions",
    "EnvSpec",
    "Environment",
    "Family",
    "TimeStep",
    "list_tasks",
    "make_env",
    "missing_extra",
    "register_family",
    "setting",
    "step_and_reset",
]
