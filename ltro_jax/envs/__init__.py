"""Environments: one Protocol, one adapter file per family, one registry."""

from ltro_jax.envs.base import Environment, EnvSpec, step_and_reset
from ltro_jax.envs.registry import list_tasks, make_env, missing_extra

__all__ = ["EnvSpec", "Environment", "list_tasks", "make_env", "missing_extra", "step_and_reset"]
