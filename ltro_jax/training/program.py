"""`make_train`: settings in, pure functions out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax

from ltro_jax.config import Config, Hypers
from ltro_jax.training.evaluation import evaluate
from ltro_jax.training.init import init
from ltro_jax.training.iteration import iterate
from ltro_jax.training.parts import Parts, make_parts
from ltro_jax.types import Array, Metrics, RunnerState


class Train(NamedTuple):
    """Pure functions of one member, to `jit`, `vmap` and `scan` as you like.

    init: `(seed [] uint32, hypers) → state`
    iterate: `(state, hypers) → (state, metrics)`
    evaluate: `(state, hypers) → {name: scalar}`
    parts: the environment, networks and recipe behind them (`parts.spec` tells names and sizes).
    """

    init: Callable[[Array | int, Hypers], RunnerState]
    iterate: Callable[[RunnerState, Hypers], tuple[RunnerState, Metrics]]
    evaluate: Callable[..., dict[str, Array]]
    parts: Parts


def make_train(config: Config) -> Train:
    """The training program of `config`; only its static settings are baked in.

    Example:
        train = make_train(Config.from_dict({"task": "mpe/simple_spread"}))
        states = jax.vmap(train.init, in_axes=(0, None))(jnp.arange(8), config.hypers)
        states, metrics = jax.jit(jax.vmap(train.iterate, in_axes=(0, None)))(states, config.hypers)

    Raises:
        SettingsError: unknown task or algorithm, or options that do not fit the task.
    """
    parts = make_parts(config)

    def bound(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            with jax.default_matmul_precision(parts.static.matmul_precision):
                return function(*args, **kwargs, parts=parts)

        return call

    return Train(bound(init), bound(iterate), bound(evaluate), parts)
