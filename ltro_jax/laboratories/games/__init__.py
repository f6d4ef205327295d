"""Small tabular cooperative games in which every quantity of the paper is exact.

All functions need float64, in a scope, and can be jitted and vmapped:

    with float64():
        game = climbing_game()
        history = run(jax.random.key(0), game, jnp.zeros((2, 1, 3)), GameHypers(), num_iterations=100)
"""

from ltro_jax.laboratories.games.agent_steps import (
    GameHypers,
    StepInfo,
    WeightedAdvantage,
    clipped_objective,
    exact_gradient_step,
    exact_trust_region_step,
    kl_and_gain,
)
from ltro_jax.laboratories.games.bounds import (
    advantage_bound,
    clamp_penalties,
    improvement_bound,
    max_advantage,
    position_total_variation,
    prefix_total_variation,
    state_shift_penalty,
    weighted_second_moment_bound,
)
from ltro_jax.laboratories.games.divergences import chi_square, kl_divergence, total_variation
from ltro_jax.laboratories.games.evaluation import Evaluation, evaluate, state_reward, state_transition
from ltro_jax.laboratories.games.factors import Factors, excess, mean_clamped_factor, second_moment, sequential_factors
from ltro_jax.laboratories.games.games import (
    Game,
    climbing_game,
    coordination_game,
    make_game,
    matrix_game,
    penalty_game,
    random_game,
)
from ltro_jax.laboratories.games.meeting import meeting_game
from ltro_jax.laboratories.games.nash import BestResponse, best_response, deviation_gains, nash_gap
from ltro_jax.laboratories.games.policies import joint_actions, joint_log_policy, joint_policy, lift, log_policies
from ltro_jax.laboratories.games.precision import float64
from ltro_jax.laboratories.games.sampling import draw
from ltro_jax.laboratories.games.surrogates import (
    new_policy_advantage,
    surrogates,
    weighted_second_moment,
    weighted_variance,
)
from ltro_jax.laboratories.games.updates import (
    History,
    UpdateInfo,
    exact_sequential_update,
    exact_simultaneous_update,
    run,
    update,
    weighted_advantage,
)
from ltro_jax.laboratories.games.weights import FACTOR_WEIGHTS, RuleMoments, rule_moments

__all__ = [
    "FACTOR_WEIGHTS",
    "BestResponse",
    "Evaluation",
    "Factors",
    "Game",
    "GameHypers",
    "History",
    "RuleMoments",
    "StepInfo",
    "UpdateInfo",
    "WeightedAdvantage",
    "advantage_bound",
    "best_response",
    "chi_square",
    "clamp_penalties",
    "climbing_game",
    "clipped_objective",
    "coordination_game",
    "deviation_gains",
    "draw",
    "evaluate",
    "exact_gradient_step",
    "exact_sequential_update",
    "exact_simultaneous_update",
    "exact_trust_region_step",
    "excess",
    "float64",
    "improvement_bound",
    "joint_actions",
    "joint_log_policy",
    "joint_policy",
    "kl_and_gain",
    "kl_divergence",
    "lift",
    "log_policies",
    "make_game",
    "matrix_game",
    "max_advantage",
    "mean_clamped_factor",
    "meeting_game",
    "nash_gap",
    "new_policy_advantage",
    "penalty_game",
    "position_total_variation",
    "prefix_total_variation",
    "random_game",
    "rule_moments",
    "run",
    "second_moment",
    "sequential_factors",
    "state_reward",
    "state_shift_penalty",
    "state_transition",
    "surrogates",
    "total_variation",
    "update",
    "weighted_advantage",
    "weighted_second_moment",
    "weighted_second_moment_bound",
    "weighted_variance",
]
