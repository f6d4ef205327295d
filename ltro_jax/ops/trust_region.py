"""Conjugate gradient and backtracking, bounded and safe lane by lane under `vmap`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.types import Array

RESIDUAL_TOLERANCE = 1e-10


def conjugate_gradient(product: Callable[[Array], Array], b: Array, num_iterations: int) -> tuple[Array, Array]:
    """Solve F x = b for symmetric positive definite F, from x = 0.

    A lane whose squared residual has fallen below 1e-10 stays as it is while others go on.

    Args:
        product: v `[D]` → F v `[D]`.
        b: `[D]` float32.
        num_iterations: static bound.
    Returns:
        x `[D]` float32, and F x `[D]`, which the residual gives without another product.
    Source: Hestenes & Stiefel 1952; tolerance and bound of Schulman et al. 2015.
    """

    def body(_: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        x, residual, direction, squared = carry
        image = product(direction)
        going = squared >= RESIDUAL_TOLERANCE
        step = squared / jnp.where(going, jnp.vdot(direction, image), 1.0)
        next_residual = residual - step * image
        next_squared = jnp.vdot(next_residual, next_residual)
        next_direction = next_residual + next_squared / jnp.where(going, squared, 1.0) * direction
        updated = (x + step * direction, next_residual, next_direction, next_squared)
        return tuple(jnp.where(going, new, old) for new, old in zip(updated, carry, strict=True))

    start = (jnp.zeros_like(b), b, b, jnp.vdot(b, b))
    x, residual, _, _ = jax.lax.fori_loop(0, num_iterations, body, start)
    return x, b - residual


class LineSearch(NamedTuple):
    """Outcome of a backtracking search over at most L candidates; entries of untried candidates are 0."""

    accepted: Array  # [] bool
    evaluations: Array  # [] int32, candidates tried; 1 = the full step was taken
    scale: Array  # [] float32, of the accepted candidate; 0 if none
    kl: Array  # [L] float32, nats, at each candidate
    gain: Array  # [L] float32, actual gain of the objective
    expected_gain: Array  # [L] float32, linear prediction


def backtrack(
    evaluate: Callable[[Array], tuple[Array, Array]],
    full_expected_gain: Array,
    possible: Array,
    *,
    kl_threshold: Array | float,
    accept_ratio: Array | float,
    backtrack_coeff: Array | float,
    num_steps: int,
) -> LineSearch:
    """Try the full step, then shorter ones, one after another (one candidate in memory at a time).

        accept the first s = βʲ with KL(s) < δ, gain(s) > 0 and gain(s) / (s · expected gain) > accept_ratio

    Args:
        evaluate: scale s → (KL, gain) of the candidate θ + s · full step, scalars.
        full_expected_gain: scalar, g · full step.
        possible: `[]` bool; False tries nothing.
        num_steps: static bound L.
    Returns:
        What was tried and whether a candidate was accepted; failure is a value.
    Source: Schulman et al. 2015, Appendix C; Kuba et al. 2022.
    """
    untried = jnp.zeros((num_steps,), full_expected_gain.dtype)
    none = jnp.zeros((), bool), jnp.zeros((), jnp.int32), jnp.zeros_like(full_expected_gain)
    start = LineSearch(*none, untried, untried, untried)

    def unfinished(search: LineSearch) -> Array:
        return possible & ~search.accepted & (search.evaluations < num_steps)

    def attempt(search: LineSearch) -> LineSearch:
        index = search.evaluations
        scale = jnp.power(backtrack_coeff, index.astype(full_expected_gain.dtype))
        kl, gain = evaluate(scale)
        expected = scale * full_expected_gain
        accepted = (kl < kl_threshold) & (gain > 0) & (gain > accept_ratio * expected)
        return LineSearch(
            accepted,
            index + 1,
            jnp.where(accepted, scale, 0.0),
            search.kl.at[index].set(kl),
            search.gain.at[index].set(gain),
            search.expected_gain.at[index].set(expected),
        )

    return jax.lax.while_loop(unfinished, attempt, start)
