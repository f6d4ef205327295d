"""Batches of random games for the studies: variance, weights of the factor, improvement, Nash gap."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ltro_jax.laboratories.games.agent_steps import GameHypers, exact_trust_region_step
from ltro_jax.laboratories.games.bounds import max_advantage, weighted_second_moment_bound
from ltro_jax.laboratories.games.evaluation import Evaluation, evaluate
from ltro_jax.laboratories.games.factors import Factors, second_moment, sequential_factors
from ltro_jax.laboratories.games.games import Game, random_game
from ltro_jax.laboratories.games.policies import log_policies
from ltro_jax.laboratories.games.precision import require_float64
from ltro_jax.laboratories.games.surrogates import weighted_second_moment, weighted_variance
from ltro_jax.laboratories.games.updates import ExactAgentUpdate, run, update
from ltro_jax.laboratories.games.weights import RuleMoments, rule_moments
from ltro_jax.types import Array


class Problems(NamedTuple):
    """G games, each with initial policies and a key for the orders; leading axis G on every leaf."""

    game: Game
    logits: Array  # [G, N, S, A]
    order_key: Array  # [G] typed keys


class WeightMoments(NamedTuple):
    """Moments of the weighted advantage min(R_{1:m−1}, c)·A at each position, in units of ε_A² = max A²."""

    variance: Array  # [G, N]
    second_moment: Array  # [G, N] ≥ variance
    bound: Array  # [G, N] c E[min(R, c)], on the second moment; ∞ at c = ∞
    factor_second_moment: Array  # [G, N] E[min(R, c)²], in units of 1


class Courses(NamedTuple):
    """K iterations of each game."""

    expected_return: Array  # [G, K+1]
    nash_gap: Array  # [G, K+1]
    improvement_bound: Array  # [G, K]
    accepted: Array  # [G, K] bool, at least one agent moved


@partial(jax.jit, static_argnames=("num_games", "num_agents", "num_states", "num_actions"))
def random_problems(
    seed: Array | int, num_games: int, num_agents: int, num_states: int, num_actions: int, gamma: Array | float
) -> Problems:
    """Random games with standard normal logits; game g does not depend on the number of games.

    Args:
        seed: int, traced; the sizes are static; gamma: of every game, in [0, 1).
    Raises:
        TypeError: float64 is switched off.
    """

    def problem(key: Array) -> Problems:
        game_key, logits_key, order_key = jax.random.split(key, 3)
        game = random_game(game_key, num_agents, num_states, num_actions, gamma)
        return Problems(game, jax.random.normal(logits_key, (num_agents, num_states, num_actions)), order_key)

    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), jnp.arange(num_games))
    return jax.vmap(problem)(keys)


def updated(problem: Problems, hypers: GameHypers, agent_update: ExactAgentUpdate) -> tuple[Factors, Evaluation]:
    """The factors of one sequential update of a game in random order, and the values of the old policy."""
    game, logits, order_key = problem
    new_logits, info = update(order_key, game, logits, hypers, agent_update=agent_update)
    log_policy = log_policies(logits)
    return (
        sequential_factors(log_policies(new_logits), log_policy, info.order),
        evaluate(game, jnp.exp(log_policy)),
    )


@partial(jax.jit, static_argnames="agent_update")
def weight_moments(
    problems: Problems, hypers: GameHypers, *, agent_update: ExactAgentUpdate = exact_trust_region_step
) -> WeightMoments:
    """One sequential update of each game in random order, and the moments of the weighted advantage at each position.

    The clamp c of `hypers` determines both the change of policy π → π' and the weights.

    Args:
        hypers: scalars, traced.
    Raises:
        TypeError: not float64.
    Source: Le & Ta 2025.
    """
    require_float64(logits=problems.logits)

    def moments(problem: Problems) -> WeightMoments:
        factors, old = updated(problem, hypers, agent_update)
        clip, states, unit = hypers.factor_clip, old.state_distribution, jnp.square(max_advantage(old.advantage))
        return WeightMoments(
            variance=weighted_variance(factors, old.advantage, states, clip) / unit,
            second_moment=weighted_second_moment(factors, old.advantage, clip) @ states / unit,
            bound=weighted_second_moment_bound(factors, old.advantage, clip) @ states / unit,
            factor_second_moment=second_moment(factors, clip)[:-1] @ states,
        )

    return jax.vmap(moments)(problems)


@partial(jax.jit, static_argnames=("rules", "agent_update"))
def moments_by_rule(
    problems: Problems,
    hypers: GameHypers,
    parameters: Array,
    *,
    rules: tuple[str, ...],
    agent_update: ExactAgentUpdate = exact_trust_region_step,
) -> RuleMoments:
    """One sequential update of each game in random order, and the bias and variance of each weight of the factor.

    All weights are measured on the same change of policy, which the clamp c of `hypers` determines.

    Args:
        hypers: scalars, traced.
        parameters: `[W]`, the parameter of each rule, traced.
        rules: W keys of `FACTOR_WEIGHTS`, static.
    Returns:
        `[W, G, N]`; the bias in units of ε_A = max |A|, the variance in units of ε_A².
    Raises:
        TypeError: not float64.
    """
    require_float64(logits=problems.logits)

    def moments(problem: Problems) -> list[RuleMoments]:
        factors, old = updated(problem, hypers, agent_update)
        unit = max_advantage(old.advantage)
        measured = [
            rule_moments(factors, old.advantage, old.state_distribution, rule, parameter)
            for rule, parameter in zip(rules, parameters, strict=True)
        ]
        return [RuleMoments(bias / unit, variance / jnp.square(unit)) for bias, variance in measured]

    return jax.tree.map(lambda *by_weight: jnp.stack(by_weight), *jax.vmap(moments)(problems))


@partial(jax.jit, static_argnames=("num_iterations", "agent_update", "schedule"))
def courses(
    problems: Problems,
    hypers: GameHypers,
    *,
    num_iterations: int,
    agent_update: ExactAgentUpdate = exact_trust_region_step,
    schedule: str = "random",
) -> Courses:
    """`run` every game, and keep the values that the studies read.

    Args:
        hypers: scalars, traced; num_iterations, agent_update, schedule: as in `run`, static.
    Raises:
        TypeError: not float64.
        ValueError: unknown schedule.
    """

    def course(problem: Problems) -> Courses:
        game, logits, key = problem
        settings = {"num_iterations": num_iterations, "agent_update": agent_update, "schedule": schedule}
        history = run(key, game, logits, hypers, **settings)
        accepted = jnp.any(history.info.accepted, axis=-1)
        return Courses(history.expected_return, history.nash_gap, history.info.improvement_bound, accepted)

    return jax.vmap(course)(problems)
