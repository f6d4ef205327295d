"""`make_train`: settings in, pure functions out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from ltro_jax.config import Config, Hypers
from ltro_jax.process.references import is_outside
from ltro_jax.training.evaluation import evaluate, keep_best
from ltro_jax.training.init import init
from ltro_jax.training.iteration import iterate
from ltro_jax.training.parts import Parts, make_parts
from ltro_jax.types import Array, Metrics, RunnerState


class Train(NamedTuple):
    """Pure functions of one member, to `jit`, `vmap` and `scan` as you like.

    init: `(seed [] uint32, hypers) → state`
    iterate: `(state, hypers) → (state, metrics)`
    evaluate: `(state, hypers) → {name: scalar}`
    advance: `(state, hypers, num_iterations) → (state, metrics, evaluation)`, one device call: up to `eval_interval`
        iterations (the count is traced; rows beyond it are 0), metrics `[eval_interval, …]`, then an evaluation.
        `state.best` holds the best actors so far.
    parts: the environment, networks and update rule of the program (`parts.spec` holds names and sizes).
    """

    init: Callable[[Integer[Array, ""] | int, Hypers], RunnerState]
    iterate: Callable[[RunnerState, Hypers], tuple[RunnerState, Metrics]]
    evaluate: Callable[..., dict[str, Float[Array, ""]]]
    advance: Callable[[RunnerState, Hypers, Integer[Array, ""] | int], tuple[RunnerState, Metrics, dict[str, Array]]]
    parts: Parts


def make_train(config: Config) -> Train:
    """Build the training program of `config`. It contains the static settings, and its length if `anneal_lr` is on.

    Example:
        train = make_train(Config.from_dict({"task": "mpe/simple_spread"}))
        states = jax.vmap(train.init, in_axes=(0, None))(jnp.arange(8), config.hypers)
        states, metrics = jax.jit(jax.vmap(train.iterate, in_axes=(0, None)))(states, config.hypers)

    Raises:
        SettingsError: the task or algorithm is unknown, or an option does not fit the task.
    """
    parts = make_parts(config)

    def bound(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            with jax.default_matmul_precision(parts.static.matmul_precision):
                return function(*args, **kwargs, parts=parts)

        return call

    return Train(bound(init), bound(iterate), bound(evaluate), bound(advance), parts)


class Carry(NamedTuple):
    """What one iteration of a device call passes to the next."""

    state: RunnerState
    rows: Metrics  # [eval_interval, …], 0 from this iteration on


def refuse_ill_formed(train: Train, hypers: Hypers) -> None:
    """Trace an iteration with an update rule from outside the package, to raise its errors before a run starts.

    Raises:
        SettingsError: the update returns an agent of another form.
    """
    if is_outside(train.parts.static.algorithm):
        jax.eval_shape(train.iterate, jax.eval_shape(train.init, 0, hypers), hypers)


def advance(
    state: RunnerState, hypers: Hypers, num_iterations: Integer[Array, ""] | int, parts: Parts
) -> tuple[RunnerState, Metrics, dict[str, Array]]:
    """Run up to `eval_interval` iterations and an evaluation; see `Train`.

    The count is traced, so the last, shorter call of a run uses the same program.
    """
    step = jax.jit(functools.partial(iterate, parts=parts))  # traced once, for the shapes and for the loop
    _, shapes = jax.eval_shape(step, state, hypers)
    length = parts.static.eval_interval
    rows = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), shapes)

    def body(index: Array, carry: Carry) -> Carry:
        state, metrics = step(carry.state, hypers)
        return Carry(state, jax.tree.map(lambda rows, row: rows.at[index].set(row), carry.rows, metrics))

    state, rows = jax.lax.fori_loop(0, jnp.minimum(num_iterations, length), body, Carry(state, rows))
    if not parts.static.eval_episodes:
        return state, rows, {}
    evaluation = evaluate(state, hypers, parts)
    return keep_best(state, evaluation["eval_return_greedy"]), rows, evaluation
