"""Conjugate gradient and backtracking with bounded iterations; each lane of a `vmap` stops independently."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from ltro_jax.types import Array, Scalar

RESIDUAL_TOLERANCE = 1e-10


class _Iterate(NamedTuple):
    """State of the conjugate gradient method."""

    x: Float[Array, " D"]
    residual: Float[Array, " D"]
    direction: Float[Array, " D"]
    squared: Float[Array, ""]  # squared norm of the residual


def conjugate_gradient(
    product: Callable[[Array], Array], b: Float[Array, " D"], num_iterations: int
) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    """Solve F x = b for symmetric positive definite F, starting from x = 0.

    Once the squared residual of a lane is below 1e-10, the lane stays unchanged while other lanes continue.

    Args:
        product: the function v → F v.
        num_iterations: static bound on the iterations.
    Returns:
        x, and F x, which follows from the residual without another product.
    Source: Hestenes & Stiefel 1952; tolerance and bound of Schulman et al. 2015.
    """

    def body(_: Array, iterate: _Iterate) -> _Iterate:
        x, residual, direction, squared = iterate
        image = product(direction)
        going = squared >= RESIDUAL_TOLERANCE
        step = squared / jnp.where(going, jnp.vdot(direction, image), 1.0)
        next_residual = residual - step * image
        next_squared = jnp.vdot(next_residual, next_residual)
        next_direction = next_residual + next_squared / jnp.where(going, squared, 1.0) * direction
        updated = _Iterate(x + step * direction, next_residual, next_direction, next_squared)
        return jax.tree.map(lambda new, old: jnp.where(going, new, old), updated, iterate)

    last = jax.lax.fori_loop(0, num_iterations, body, _Iterate(jnp.zeros_like(b), b, b, jnp.vdot(b, b)))
    return last.x, b - last.residual


class LineSearch(NamedTuple):
    """Outcome of a backtracking search over at most L candidates; entries of untried candidates are 0."""

    accepted: Bool[Array, ""]
    evaluations: Int[Array, ""]  # candidates tried, int32; 1 = the full step was tried only
    scale: Float[Array, ""]  # of the accepted candidate; 0 if none
    kl: Float[Array, " L"]  # nats, at each candidate
    gain: Float[Array, " L"]  # actual gain of the objective
    expected_gain: Float[Array, " L"]  # its linear prediction


def backtrack(
    evaluate: Callable[[Array], tuple[Array, Array]],
    full_expected_gain: Float[Array, ""],
    possible: Bool[Array, ""],
    *,
    kl_threshold: Scalar,
    accept_ratio: Scalar,
    backtrack_coeff: Scalar,
    num_steps: int,
) -> LineSearch:
    """Try the full step, then shorter steps in sequence, with one candidate in memory at a time.

        accept the first s = βʲ with KL(s) < δ, gain(s) > 0 and gain(s) / (s · expected gain) > accept_ratio

    Args:
        evaluate: maps a scale s to the KL (nats) and the gain of the candidate θ + s · full step, both scalars.
        full_expected_gain: g · full step.
        possible: if False, no candidate is tried.
        kl_threshold: δ in nats.
        backtrack_coeff: β.
        num_steps: static bound L on the candidates.
    Returns:
        The candidates tried, and whether one was accepted; a failed search is a value, not an error.
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
