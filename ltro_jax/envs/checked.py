"""Compare what an environment returns with its `spec` while it is traced."""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path
from jax.typing import DTypeLike

from ltro_jax.config import SettingsError
from ltro_jax.envs.base import Environment, EnvSpec, EnvState
from ltro_jax.types import Array, TimeStep

REAL = (jnp.floating, jnp.integer, jnp.bool_)  # types that are converted to float32, or to bool by `!= 0`


class Checked:
    """An environment whose time steps have the shapes of its spec and the documented dtypes.

    Shapes and dtypes are known while a program is traced, so the check costs no run time. Other numeric types are
    converted to float32 or, in masks and flags, by `!= 0`; weak types become strong; the environment state has the same
    shapes and dtypes after `step` as after `reset`.
    """

    def __init__(self, env: Environment):
        self.unchecked = env
        self.spec: EnvSpec = env.spec
        sizes = len(self.spec.observation_sizes), len(self.spec.action_sizes)
        if sizes != (self.spec.num_agents, self.spec.num_agents):
            raise SettingsError(
                f"task = {self.spec.name!r}: its spec has {self.spec.num_agents} agents, but {sizes[0]} "
                f"observation_sizes and {sizes[1]} action_sizes; give one of each for every agent"
            )

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the environment, such as `scene`."""
        if name == "unchecked":  # while a copy is made
            raise AttributeError(name)
        return getattr(self.unchecked, name)

    def reset(self, key: Array) -> tuple[EnvState, TimeStep]:
        """Start an episode.

        Raises:
            SettingsError: it returns something that contradicts the spec (at trace time).
        """
        env_state, timestep = self._pair("reset", self.unchecked.reset(key))
        return jax.tree.map(_strong, env_state), self._timestep("reset", timestep)

    def step(self, key: Array, env_state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        """One step of all agents.

        Raises:
            SettingsError: it returns something that contradicts the spec or `reset` (at trace time).
        """
        after, timestep = self._pair("step", self.unchecked.step(key, env_state, action))
        return self._env_state(env_state, after), self._timestep("step", timestep)

    def _pair(self, method: str, returned: object) -> tuple[EnvState, TimeStep]:
        if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], TimeStep)):
            self._refuse(f"{method} returns {type(returned).__name__}", "a pair of its state and a TimeStep")
        return returned

    def _timestep(self, method: str, timestep: TimeStep) -> TimeStep:
        spec = self.spec
        wanted: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "observation": ((spec.num_agents, spec.observation_size), jnp.float32),
            "state": ((spec.state_size,), jnp.float32),
            "action_mask": ((spec.num_agents, spec.action_size), jnp.bool_),
            "active_mask": ((spec.num_agents,), jnp.bool_),
            "reward": ((), jnp.float32),
            "terminated": ((), jnp.bool_),
            "truncated": ((), jnp.bool_),
        }
        if spec.winnable:
            wanted["won"] = (), jnp.bool_
        elif timestep.won is not None:
            self._refuse(f"won of {method} is given", "None, because the spec has winnable = False")
        return timestep.replace(
            **{
                name: self._field(f"{name} of {method}", getattr(timestep, name), *want)
                for name, want in wanted.items()
            }
        )

    def _field(self, name: str, value: Any, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        wanted = f"shape {shape} {jnp.dtype(dtype)}"
        try:
            value = jnp.asarray(value)
        except (TypeError, ValueError):
            self._refuse(f"{name} is {value!r}", wanted)
        convertible = any(jnp.issubdtype(value.dtype, kind) for kind in REAL)
        if value.shape != shape or not convertible:
            hint = ""
            if name.startswith("reward") and value.shape == (self.spec.num_agents,):
                hint = " (the reward of the team: a sum or a mean over the agents)"
            self._refuse(f"{name} has shape {value.shape} {value.dtype}", wanted + hint)
        if value.dtype != dtype:
            return value != 0 if dtype == jnp.bool_ else value.astype(dtype)
        return _strong(value)

    def _env_state(self, before: EnvState, after: EnvState) -> EnvState:
        """The state after a step, with the shapes and dtypes of the state before it."""
        given, structure = tree_flatten_with_path(before)
        found, found_structure = tree_flatten_with_path(after)
        if structure != found_structure:
            self._refuse(f"env_state of step is the tree {found_structure}", f"that of reset, {structure}")
        leaves = []
        for (path, old), (_, new) in zip(given, found, strict=True):
            old, new = _strong(old), _strong(new)
            name = f"env_state{keystr(path)} of step"
            if old.shape != new.shape or not (old.dtype == new.dtype or _holds(old.dtype, new.dtype)):
                got, wanted = (f"shape {leaf.shape} {leaf.dtype}" for leaf in (new, old))
                self._refuse(f"{name} has {got}", f"{wanted} as reset gives it")
            leaves.append(new if old.dtype == new.dtype else new.astype(old.dtype))
        return jax.tree.unflatten(structure, leaves)

    def _refuse(self, got: str, wanted: str) -> NoReturn:
        raise SettingsError(f"task = {self.spec.name!r}: {got}; expected {wanted}")


def _strong(value: Any) -> Array:
    """The same array without a weak type, which a loop over steps would reject."""
    if not isinstance(value, jax.Array):
        return jnp.asarray(value, jnp.result_type(value))
    return jax.lax.convert_element_type(value, value.dtype) if value.weak_type else value


def _holds(wide: np.dtype, narrow: np.dtype) -> bool:
    """Whether dtype `wide` holds every value of dtype `narrow`."""
    numbers = all(jnp.issubdtype(dtype, jnp.number) or dtype == jnp.bool_ for dtype in (wide, narrow))
    return numbers and jnp.promote_types(wide, narrow) == wide
