"""Steps of one agent: an exact trust-region step, or gradient ascent on the exact clipped objective.

Two tables over the agent's actions hold every expectation over the other agents, so that the objective of position m
is a sum over `[S, A]`:

    E_π[min(R, c) r_m A] = Σ_s d(s) Σ_a π'_m(a|s) g(s, a),   g(s, a_m) = E_{a_{−m}~π_{−m}}[min(R_{1:m−1}, c) A]
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.divergences import kl_divergence
from ltro_jax.laboratories.games.policies import log_policies
from ltro_jax.ops import backtrack
from ltro_jax.types import Array


class GameHypers(NamedTuple):
    """Hyper-parameters of exact updates, traced scalars; each kind of step reads only those that apply to it."""

    factor_clip: Array | float = 1.0  # c in (0, ∞]
    kl_threshold: Array | float = 0.01  # trust region, nats
    accept_ratio: Array | float = 0.5
    backtrack_coeff: Array | float = 0.5  # 40 halvings: near a corner the linear prediction is far too high
    learning_rate: Array | float = 1.0  # gradient ascent
    clip_eps: Array | float = 0.2  # ∞ leaves the surrogate unclipped


class WeightedAdvantage(NamedTuple):
    """E over the other agents of min(R, c)·A⁺ and of min(R, c)·A⁻, given the agent's action; g = difference."""

    positive: Array  # [S, A] ≥ 0
    negative: Array  # [S, A] ≥ 0


class StepInfo(NamedTuple):
    """Result of one agent's step."""

    kl: Array  # [] KL(π‖π') under d^π, nats
    gain: Array  # [] of the exact clamped surrogate, E_{d^π}[L_m]
    accepted: Array  # [] bool; False: the logits are bitwise unchanged


def kl_and_gain(new_logits: Array, logits: Array, g: Array, state_distribution: Array) -> tuple[Array, Array]:
    """KL(π‖π') and surrogate gain Σ_a (π' − π) g of one agent, both under d^π; logits, g `[S, A]`, d `[S]`."""
    log_new, log_old = log_policies(new_logits), log_policies(logits)
    gain = jnp.sum((jnp.exp(log_new) - jnp.exp(log_old)) * g, axis=-1)
    return kl_divergence(log_old, log_new) @ state_distribution, gain @ state_distribution


def exact_trust_region_step(
    logits: Array, weighted: WeightedAdvantage, state_distribution: Array, hypers: GameHypers, *, ls_steps: int = 40
) -> tuple[Array, StepInfo]:
    """One natural-gradient step with exact backtracking, KL(π‖π') < δ under d^π.

    For softmax policies the natural gradient has a closed form, x = g − Σ_a π g: the state weights of gradient and
    Fisher matrix cancel, and no damping is needed.

        full step = √(2δ / xᵀF x) · x,   xᵀF x = E_{s~d}[Var_{a~π} g(s, a)]

    Args:
        logits: `[S, A]`; state_distribution: `[S]`; ls_steps: static.
    Returns:
        New logits, and the result of the line search; if no step is accepted, the logits are unchanged.
    A step is bounded in KL, not in logits: the probability of a rare action may fall below the range of float64. If
    later moves of the others make it the best action, no gradient leads back to it. Such a run does not reach an
    equilibrium: `accepted` is False and the Nash gap is > 0. `accept_ratio` prevents this; at 0 it is common.

    Source: Kakade 2001; Kuba et al. 2022 (HATRPO).
    """
    g = weighted.positive - weighted.negative
    policy = jnp.exp(log_policies(logits))
    direction = g - jnp.sum(policy * g, axis=-1, keepdims=True)
    curvature = jnp.sum(policy * jnp.square(direction), axis=-1) @ state_distribution
    possible = curvature > jnp.finfo(curvature.dtype).tiny
    length = jnp.sqrt(2.0 * hypers.kl_threshold / jnp.where(possible, curvature, 1.0))
    search = backtrack(
        lambda scale: kl_and_gain(logits + scale * length * direction, logits, g, state_distribution),
        length * curvature,
        possible,
        kl_threshold=hypers.kl_threshold,
        accept_ratio=hypers.accept_ratio,
        backtrack_coeff=hypers.backtrack_coeff,
        num_steps=ls_steps,
    )
    new_logits = jnp.where(search.accepted, logits + search.scale * length * direction, logits)
    kl, gain = kl_and_gain(new_logits, logits, g, state_distribution)
    return new_logits, StepInfo(kl, gain, search.accepted)


def clipped_objective(
    new_logits: Array, logits: Array, weighted: WeightedAdvantage, state_distribution: Array, clip_eps: Array | float
) -> Array:
    """E_{s~d, a~π}[ min(R, c) · min(r A, clip(r, 1−ε, 1+ε) A) ], exactly; scalar.

    The minimum at each joint action is A⁺ min(r, 1+ε) − A⁻ max(r, 1−ε); its expectation over the others needs only
    the two parts of g.
    """
    log_old = log_policies(logits)
    ratio = jnp.exp(log_policies(new_logits) - log_old)
    kept = weighted.positive * jnp.minimum(ratio, 1.0 + clip_eps)
    lost = weighted.negative * jnp.maximum(ratio, 1.0 - clip_eps)
    return jnp.sum(jnp.exp(log_old) * (kept - lost), axis=-1) @ state_distribution


def exact_gradient_step(
    logits: Array, weighted: WeightedAdvantage, state_distribution: Array, hypers: GameHypers, *, num_epochs: int = 10
) -> tuple[Array, StepInfo]:
    """`num_epochs` (static) steps of plain gradient ascent on the exact clipped objective, as PPO takes them.

    Args:
        logits: `[S, A]`; state_distribution: `[S]`.
    Source: Schulman et al. 2017; Le & Ta 2025 (clip-HAPPO).
    """
    ascent = jax.grad(clipped_objective)

    def epoch(_: Array, new_logits: Array) -> Array:
        gradient = ascent(new_logits, logits, weighted, state_distribution, hypers.clip_eps)
        return new_logits + hypers.learning_rate * gradient

    new_logits = jax.lax.fori_loop(0, num_epochs, epoch, logits)
    kl, gain = kl_and_gain(new_logits, logits, weighted.positive - weighted.negative, state_distribution)
    return new_logits, StepInfo(kl, gain, jnp.ones((), bool))
