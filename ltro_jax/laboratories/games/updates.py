"""Exact sequential and simultaneous updates of softmax policies, and runs of them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.agent_steps import GameHypers, StepInfo, WeightedAdvantage, exact_trust_region_step
from ltro_jax.laboratories.games.bounds import improvement_bound, position_total_variation, prefix_total_variation
from ltro_jax.laboratories.games.evaluation import Evaluation, evaluate
from ltro_jax.laboratories.games.factors import Factors, log_clamped, sequential_factors
from ltro_jax.laboratories.games.games import Game
from ltro_jax.laboratories.games.nash import nash_gap
from ltro_jax.laboratories.games.policies import joint_actions, joint_log_policy, log_policies, marginal
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.laboratories.games.surrogates import surrogates, weighted_variance
from ltro_jax.types import Array

ExactAgentUpdate = Callable[[Array, WeightedAdvantage, Array, GameHypers], tuple[Array, StepInfo]]
SCHEDULES = ("random", "fixed", "simultaneous")


class UpdateInfo(NamedTuple):
    """One iteration, π → π'; positions follow `order`, states are averaged under d^π.

    Under `simultaneous` every weight is 1; the variances are those of the order 1..N.
    """

    order: Array  # [N] int, agents in the order of their updates
    improvement_bound: Array  # [] lower bound on J(π') − J(π), with the run's clamp
    surrogate: Array  # [N] E_{d^π}[L_m], with the run's clamp
    raw_variance: Array  # [N] Var(R_{1:m−1} A)
    clamped_variance: Array  # [N] Var(min(R_{1:m−1}, c) A)
    total_variation: Array  # [N] TV(π'_m, π_m)
    prefix_total_variation: Array  # [N] TV(π'_{1:m−1}, π_{1:m−1})
    kl: Array  # [N] nats
    accepted: Array  # [N] bool


class History(NamedTuple):
    """A run of K iterations."""

    expected_return: Array  # [K+1] J, before the first and after every iteration
    nash_gap: Array  # [K+1]
    info: UpdateInfo  # every leaf [K, …]
    logits: Array  # [K+1, N, S, A]


def weighted_advantage(
    log_policy: Array, advantage: Array, log_factor: Array, agent: Array, factor_clip: Array | float
) -> WeightedAdvantage:
    """g⁺ and g⁻ of one agent: E over the others' old policies of min(R, c)·A^±, given its action.

    Args:
        log_policy: `[N, S, A]`; advantage, log_factor: `[S, J]`; agent: index, traced; factor_clip: traced.
    """
    num_agents, _, num_actions = log_policy.shape
    action = jnp.asarray(joint_actions(num_agents, num_actions))[agent]
    log_others = joint_log_policy(log_policy) - log_policy[agent][:, action]
    weight = jnp.exp(log_others + log_clamped(log_factor, factor_clip))

    def half(x: Array) -> Array:
        return marginal(weight * jnp.maximum(x, 0.0), agent, num_agents, num_actions)

    return WeightedAdvantage(half(advantage), half(-advantage))


@partial(jax.jit, static_argnames="agent_update")
def exact_sequential_update(
    order: Array,
    logits: Array,
    advantage: Array,
    state_distribution: Array,
    hypers: GameHypers,
    agent_update: ExactAgentUpdate,
) -> tuple[Array, StepInfo]:
    """The agents move in sequence, each weighted by the clamped factor of the preceding agents.

    The scan carries the raw factor, which is clamped for each use.

    Args:
        order: `[N]`; logits: `[N, S, A]`; advantage: `[S, J]` and state_distribution: `[S]` of the old policy.
    Returns:
        New logits `[N, S, A]`; infos by position, `[N]`.
    Source: Le & Ta 2025, Algorithm 1.
    """
    log_policy = log_policies(logits)
    table = jnp.asarray(joint_actions(logits.shape[0], logits.shape[2]))

    def body(log_factor: Array, agent: Array) -> tuple[Array, tuple[Array, StepInfo]]:
        weighted = weighted_advantage(log_policy, advantage, log_factor, agent, hypers.factor_clip)
        new_logits, info = agent_update(logits[agent], weighted, state_distribution, hypers)
        log_ratio = log_policies(new_logits) - log_policy[agent]
        return log_factor + log_ratio[:, table[agent]], (new_logits, info)

    _, (moved, info) = jax.lax.scan(body, jnp.zeros_like(advantage), order)
    return logits.at[order].set(moved), info


@partial(jax.jit, static_argnames="agent_update")
def exact_simultaneous_update(
    order: Array,
    logits: Array,
    advantage: Array,
    state_distribution: Array,
    hypers: GameHypers,
    agent_update: ExactAgentUpdate,
) -> tuple[Array, StepInfo]:
    """All agents move at once with weight 1, as if the others were fixed; arguments as `exact_sequential_update`."""
    log_policy = log_policies(logits)

    def alone(agent: Array) -> tuple[Array, StepInfo]:
        weighted = weighted_advantage(log_policy, advantage, jnp.zeros_like(advantage), agent, jnp.inf)
        return agent_update(logits[agent], weighted, state_distribution, hypers)

    moved, info = jax.vmap(alone)(order)
    return logits.at[order].set(moved), info


@partial(jax.jit, static_argnames=("agent_update", "schedule"))
def update(
    key: Array,
    game: Game,
    logits: Array,
    hypers: GameHypers,
    *,
    agent_update: ExactAgentUpdate = exact_trust_region_step,
    schedule: str = "random",
) -> tuple[Array, UpdateInfo]:
    """One exact iteration of HATRPO or HAPPO with any clamp: evaluate, move every agent, measure the change.

    Args:
        key: read by the random schedule only.
        logits: `[N, S, A]` float64.
        agent_update: `exact_trust_region_step` or `exact_gradient_step`, static.
        schedule: `random` (a new random order), `fixed` (1..N) or `simultaneous`, static.
    Raises:
        TypeError: not float64.
        ValueError: unknown schedule.
    """
    require_float64(logits=logits, reward=game.reward)
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule = {schedule!r} is not one of {', '.join(SCHEDULES)}")
    agents = jnp.arange(game.num_agents)
    order = jax.random.permutation(key, agents) if schedule == "random" else agents
    move = exact_simultaneous_update if schedule == "simultaneous" else exact_sequential_update
    old = evaluate(game, jnp.exp(log_policies(logits)))
    new_logits, step = move(order, logits, old.advantage, old.state_distribution, hypers, agent_update)

    factors = sequential_factors(log_policies(new_logits), log_policies(logits), order)
    return new_logits, _measured(order, factors, old, step, game.gamma, hypers.factor_clip)


def _measured(
    order: Array, factors: Factors, old: Evaluation, step: StepInfo, gamma: Array, factor_clip: Array | float
) -> UpdateInfo:
    states = old.state_distribution
    return UpdateInfo(
        order=order,
        improvement_bound=improvement_bound(factors, old, gamma, factor_clip),
        surrogate=surrogates(factors, old.advantage, factor_clip) @ states,
        raw_variance=weighted_variance(factors, old.advantage, states, jnp.inf),
        clamped_variance=weighted_variance(factors, old.advantage, states, factor_clip),
        total_variation=position_total_variation(factors) @ states,
        prefix_total_variation=prefix_total_variation(factors)[:-1] @ states,
        kl=step.kl,
        accepted=step.accepted,
    )


@partial(jax.jit, static_argnames=("num_iterations", "agent_update", "schedule"))
def run(
    key: Array,
    game: Game,
    logits: Array,
    hypers: GameHypers,
    *,
    num_iterations: int,
    agent_update: ExactAgentUpdate = exact_trust_region_step,
    schedule: str = "random",
) -> History:
    """Iterate `update` from the given logits and record every quantity; one compiled scan, `vmap` over any argument."""

    def iteration(at: Array, order_key: Array) -> tuple[Array, tuple[Array, UpdateInfo]]:
        moved, info = update(order_key, game, at, hypers, agent_update=agent_update, schedule=schedule)
        return moved, (moved, info)

    def measured(at: Array) -> tuple[Array, Array]:
        policy = jnp.exp(log_policies(at))
        return evaluate(game, policy).expected_return, nash_gap(game, policy)

    _, (moved, info) = jax.lax.scan(iteration, logits, jax.random.split(key, num_iterations))
    visited = jnp.concatenate([logits[None], moved])
    expected_return, gap = jax.lax.map(measured, visited)
    return History(expected_return, gap, info, visited)
