"""Cost and guarantee of the clamp: inequalities that hold for every game and every pair of policies."""

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.divergences import total_variation
from ltro_jax.laboratories.games.evaluation import Evaluation
from ltro_jax.laboratories.games.factors import Factors, excess, mean_clamped_factor
from ltro_jax.laboratories.games.surrogates import new_policy_advantage, surrogates
from ltro_jax.types import Array


def max_advantage(advantage: Array) -> Array:
    """ε_A = max_{s,a} |A(s, a)|; `[S, J]` → scalar."""
    return jnp.max(jnp.abs(advantage))


def position_total_variation(factors: Factors) -> Array:
    """TV(π'_m, π_m)(s) of the agent at each position; `[N, S]`. The other agents cancel out of the sum."""
    log_old = factors.log_joint[None]
    return total_variation(log_old + factors.log_ratio, log_old)


def prefix_total_variation(factors: Factors) -> Array:
    """TV(π'_{1:m}, π_{1:m})(s) after the first m = 0..N agents; `[N+1, S]`, the last row is the joint policy's."""
    log_old = factors.log_joint[None]
    return total_variation(log_old + factors.log_factor, log_old)


def weighted_second_moment_bound(factors: Factors, advantage: Array, factor_clip: Array | float) -> Array:
    """E_π[(min(R, c) A)²] ≤ ε_A² c E_π[min(R, c)], which at c = 1 is ε_A² (1 − TV_{1:m−1}); `[N, S]`, ∞ at c = ∞.

    Source: Le & Ta 2025.
    """
    epsilon = max_advantage(advantage)
    bound = jnp.square(epsilon) * factor_clip * mean_clamped_factor(factors, factor_clip)[:-1]
    return jnp.where(epsilon > 0, bound, 0.0)  # 0 · ∞


def clamp_penalties(factors: Factors, advantage: Array, factor_clip: Array | float) -> Array:
    """Largest cost of the clamp at each position, `[N, S]`: 2 ε_A E_π[(R_{1:m−1} − c)⁺] TV_m.

    At c = 1 it is 2 ε_A TV_{1:m−1} TV_m.

    Also holds for c < 1, where even the first position has a cost (R = 1 > c).
    Source: Le & Ta 2025.
    """
    removed = excess(factors, factor_clip)[:-1]
    return 2.0 * max_advantage(advantage) * removed * position_total_variation(factors)


def advantage_bound(factors: Factors, advantage: Array, factor_clip: Array | float) -> Array:
    """E_{a~π'}[A(s, ·)] ≥ Σ_m L_m(s) − Σ_m penalty_m(s); the right-hand side, `[S]`."""
    gains = surrogates(factors, advantage, factor_clip) - clamp_penalties(factors, advantage, factor_clip)
    return jnp.sum(gains, axis=0)


def state_shift_penalty(factors: Factors, evaluation: Evaluation, gamma: Array) -> Array:
    """Error from evaluating π' on the states of π: 2 γ ε' / (1 − γ)² · E_{s~d^π}[TV(π', π)(s)]; scalar.

    ε' = max_s |E_{a~π'}[A(s, a)]|, TV of the joint policies. Source: Achiam et al. 2017, Corollary 1.
    """
    epsilon = jnp.max(jnp.abs(new_policy_advantage(factors, evaluation.advantage)))
    distance = prefix_total_variation(factors)[-1] @ evaluation.state_distribution
    return 2.0 * gamma * epsilon / jnp.square(1.0 - gamma) * distance


@jax.jit
def improvement_bound(factors: Factors, evaluation: Evaluation, gamma: Array, factor_clip: Array | float) -> Array:
    """Monotonic bound on J(π') − J(π), for any clamp; if it is ≥ 0, the return cannot fall.

        J(π') − J(π) ≥ 1/(1−γ) E_{s~d^π}[ Σ_m L_m − Σ_m penalty_m ] − state shift

    Args:
        evaluation: of the old policy π.
        gamma: the game's; factor_clip: c in (0, ∞]; scalars, traced.
    Returns:
        Scalar.
    Source: Le & Ta 2025.
    """
    per_state = advantage_bound(factors, evaluation.advantage, factor_clip)
    gain = per_state @ evaluation.state_distribution / (1.0 - gamma)
    return gain - state_shift_penalty(factors, evaluation, gamma)
