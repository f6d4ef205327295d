"""Environments: one Protocol, one adapter file per family, one registry."""

from ltro_jax.envs.base import Environment, EnvSpec, step_and_reset
from ltro_jax.envs.registry import MissingExtra, list_tasks, make_env

__all__ = ["EnvSpec", "Environment", "MissingExtra", "list_tasks", "make_env", "step_and_reset"]
