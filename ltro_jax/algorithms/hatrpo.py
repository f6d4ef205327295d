"""HATRPO and clip-HATRPO: a natural-gradient step within a KL ball, by conjugate gradient and backtracking."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Float, Int, Key

from ltro_jax.algorithms.minibatches import to_samples, training_samples
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.update_rule import Position, UpdateRule
from ltro_jax.config import Hypers, Static
from ltro_jax.distributions import Distribution
from ltro_jax.networks import Actor
from ltro_jax.ops import LineSearch, backtrack, bounded, conjugate_gradient, masked_mean, probability_ratio
from ltro_jax.types import AgentBatch, AgentState, Array, Params, Scalar

TRUST_REGION = frozenset(
    {"kl_threshold", "kl_shares", "accept_ratio", "backtrack_coeff", "ls_steps", "cg_iterations"}
)  # settings
DAMPING = 0.1
LARGE_GRADIENT = 1e6  # the right-hand side is scaled so that no entry exceeds it: squares would overflow


class TrustRegionInfo(NamedTuple):
    """Metrics of one agent's step."""

    accepted: Bool[Array, ""]  # False: the parameters are bitwise unchanged
    backtracks: Int[Array, ""]  # int32, rejected candidates
    step_kl: Float[Array, ""]  # nats, KL(old ‖ new) averaged over all samples, of the last candidate
    gain: Float[Array, ""]  # of the surrogate, at the last candidate
    expected_gain: Float[Array, ""]  # its linear prediction
    policy_loss: Float[Array, ""]  # minus the surrogate before the step
    grad_norm: Float[Array, ""]  # of the surrogate


class Direction(NamedTuple):
    """Natural-gradient direction at the old parameters, which are one flat vector of D entries."""

    surrogate: Float[Array, ""]  # objective before the step
    gradient: Float[Array, " D"]
    vector: Float[Array, " D"]  # x of F x = g; scaled down if g has very large entries: its length does not matter
    product: Float[Array, " D"]  # F x, damping included
    step_size: Float[Array, ""]  # √(2δ / xᵀF x), or 0 if that is impossible
    possible: Bool[Array, ""]  # xᵀF x is positive and finite


def surrogate(distribution: Distribution, batch: AgentBatch, weight: Float[Array, "*samples"]) -> Float[Array, ""]:
    """L = mean_active( w · r · A ), to be maximised; `distribution` is the new policy on the batch."""
    ratio = probability_ratio(distribution.log_prob(batch.action) - batch.log_prob)
    return masked_mean(weight * ratio * batch.advantage, batch.active_mask)


def natural_direction(
    actor: Actor,
    params: Params,
    batch: AgentBatch,
    weight: Float[Array, "*samples"],
    hypers: Hypers,
    cg_iterations: int,
) -> Direction:
    """Solve F x = g by conjugate gradient, where F is the Fisher matrix averaged over all samples + 0.1 I.

    The product is in Gauss–Newton form: push v through the linearised policy, apply the distribution's Fisher matrix,
    pull back. At the old parameters this equals the Hessian of KL(old ‖ new) and costs less. The policy is linearised
    once.

    Source: Schulman et al. 2015; Kuba et al. 2022; Gauss–Newton form: Schraudolph 2002, Martens 2020.
    """
    flat, unravel = ravel_pytree(params)

    def policy_at(theta: Array) -> Distribution:
        return policy(actor, unravel(theta), batch, hypers)

    value, gradient = jax.value_and_grad(lambda theta: surrogate(policy_at(theta), batch, weight))(flat)
    old = policy_at(flat)
    _, push_forward = jax.linearize(lambda theta: policy_at(theta).parameters(), flat)
    pull_back = jax.linear_transpose(push_forward, flat)

    def product(v: Array) -> Array:
        (image,) = pull_back(old.fisher_product(push_forward(v)))
        return image / batch.log_prob.size + DAMPING * v

    scale = jnp.maximum(jnp.max(jnp.abs(gradient)) / LARGE_GRADIENT, 1.0)
    direction, image = conjugate_gradient(product, gradient / scale, cg_iterations)
    curvature = jnp.vdot(direction, image)
    possible = (curvature > 0) & jnp.isfinite(curvature)
    step_size = jnp.where(possible, jnp.sqrt(2 * hypers.kl_threshold / jnp.where(possible, curvature, 1.0)), 0.0)
    return Direction(value, gradient, direction, image, step_size, possible)


class Step(NamedTuple):
    """The direction and the line search of one trust-region step."""

    direction: Direction
    search: LineSearch


def candidate(params: Params, direction: Direction, scale: Float[Array, ""]) -> Params:
    """θ + scale · full step."""
    flat, unravel = ravel_pytree(params)
    return unravel(flat + scale * direction.step_size * direction.vector)


def trust_region_step(
    actor: Actor, params: Params, batch: AgentBatch, weight: Float[Array, "*samples"], hypers: Hypers, static: Static
) -> tuple[Params, Step]:
    """Compute the direction, then backtrack; a rejected step leaves the parameters bitwise unchanged.

    Source: Schulman et al. 2015; Kuba et al. 2022 (HATRPO); Le & Ta 2025 (clip-HATRPO).
    """
    direction = natural_direction(actor, params, batch, weight, hypers, static.cg_iterations)
    old = policy(actor, params, batch, hypers)

    def evaluate(scale: Array) -> tuple[Array, Array]:
        new = policy(actor, candidate(params, direction, scale), batch, hypers)
        return jnp.mean(old.kl(new)), surrogate(new, batch, weight) - direction.surrogate

    search = backtrack(
        evaluate,
        jnp.vdot(direction.gradient, direction.step_size * direction.vector),
        direction.possible,
        kl_threshold=hypers.kl_threshold,
        accept_ratio=hypers.accept_ratio,
        backtrack_coeff=hypers.backtrack_coeff,
        num_steps=static.ls_steps,
    )
    stepped = candidate(params, direction, search.scale)
    params = jax.tree.map(lambda new, before: jnp.where(search.accepted, new, before), stepped, params)
    return params, Step(direction, search)


class HATRPO(UpdateRule):
    """One full-batch trust-region step per agent, without epochs or entropy bonus. Source: Kuba et al. 2022."""

    summary: ClassVar = "sequential trust-region steps, factor_clip = inf (Kuba et al. 2022)"
    reads: ClassVar = TRUST_REGION
    defaults: ClassVar = {"factor_clip": float("inf")}

    def init(self, params: Params) -> tuple[()]:
        """The step keeps no state."""
        return ()

    def update(
        self,
        key: Key[Array, ""],
        agent: AgentState,
        batch: AgentBatch,
        advantage: Float[Array, "T B"],
        weight: Float[Array, "T B"],
        position: Position,
        hypers: Hypers,
    ) -> tuple[AgentState, TrustRegionInfo]:
        """Take one step; a rejected step leaves the parameters bitwise unchanged."""
        length = self.static.sequence_length
        samples = training_samples(batch.replace(advantage=advantage), length)
        hypers = hypers.replace(kl_threshold=self.kl_budget(position, hypers))
        params, step = trust_region_step(
            self.actor, agent.params, samples, to_samples(weight, length), hypers, self.static
        )
        search, last = step.search, jnp.maximum(step.search.evaluations - 1, 0)
        info = TrustRegionInfo(
            accepted=search.accepted,
            backtracks=search.evaluations - search.accepted,
            step_kl=search.kl[last],
            gain=search.gain[last],
            expected_gain=search.expected_gain[last],
            policy_loss=-step.direction.surrogate,
            grad_norm=jnp.linalg.norm(bounded(step.direction.gradient)),
        )
        return agent.replace(params=params), info

    def kl_budget(self, position: Position, hypers: Hypers) -> Scalar:
        """δ of the agent at `position`, in nats: `kl_threshold`, or its share of N · `kl_threshold` by `kl_shares`."""
        shares = self.static.kl_shares
        if not shares:
            return hypers.kl_threshold
        return hypers.kl_threshold * position.num_agents * (jnp.asarray(shares) / sum(shares))[position.index]


class ClipHATRPO(HATRPO):
    """HATRPO with the factor clamped at 1. Source: Le & Ta 2025."""

    summary: ClassVar = "HATRPO with the factor clamped at factor_clip = 1 (Le & Ta 2025)"
    defaults: ClassVar = {"factor_clip": 1.0}
