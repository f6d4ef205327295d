"""Environments: one Protocol, one adapter file per family, one registry."""

from ltro_jax.envs.base import Environment, EnvSpec, step_and_reset
from ltro_jax.envs.registry import Family, list_tasks, make_env, missing_extra, register_family
from ltro_jax.types import TimeStep

__all__ = [
    "EnvSpec",
    "Environment",
    "Family",
    "TimeStep",
    "list_tasks",
    "make_env",
    "missing_extra",
    "register_family",
    "step_and_reset",
]
