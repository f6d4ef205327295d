"""The paper's inequalities, for every clamp, on every game and pair of policies."""

import numpy as np

CLAMPS = (0.3, 1.0, 2.0, np.inf)


def largest(advantage):
    """ε_A by game, `[G]`."""
    return np.abs(advantage).max(axis=(1, 2))


def joint_distance(cases):
    """TV(π', π)(s) of the joint policies, `[G, S]`."""
    log_joint, log_factor = cases.factors.log_joint, cases.factors.log_factor[:, -1]
    return 0.5 * np.abs(np.exp(log_joint + log_factor) - np.exp(log_joint)).sum(-1)


def test_weighted_second_moment(cases):
    """E[(min(R, c) A)²] ≤ ε_A² c E[min(R, c)] for every clamp; at c = 1 this is ε_A² (1 − TV)."""
    bound = cases.clamped.second_moment_bound
    assert np.all(cases.clamped.second_moment <= bound * (1 + 1e-9))
    square = largest(cases.old.advantage)[:, None, None] ** 2
    for place, factor_clip in enumerate(CLAMPS[:-1]):
        expected = square * factor_clip * cases.clamped.mean_factor[place][:, :-1]
        np.testing.assert_allclose(bound[place], expected, rtol=1e-9)
    np.testing.assert_allclose(bound[1], square * (1 - cases.clamped.excess[1][:, :-1]), rtol=1e-9, atol=1e-12)


def test_clamped_variance_stays_below_the_largest_advantage(cases):
    """Var(min(R, 1) A) ≤ ε_A², whatever the number of agents."""
    assert np.all(cases.clamped.variance[1] <= largest(cases.old.advantage)[:, None] ** 2 * (1 + 1e-9))


def test_bias_of_the_clamped_weight(cases):
    """|E[(R − min(R, 1)) A]| ≤ ε_A TV."""
    log_joint, log_factor = cases.factors.log_joint[:, None], cases.factors.log_factor
    removed = np.exp(log_joint + log_factor) - np.exp(log_joint + np.minimum(log_factor, 0.0))
    bias = np.abs(np.sum(removed * cases.old.advantage[:, None], -1))
    epsilon = largest(cases.old.advantage)[:, None, None]
    assert np.all(bias <= epsilon * (cases.clamped.excess[1] + 1e-9))


def test_advantage_of_the_new_policy(cases):
    """E_{a~π'}[A(s, ·)] ≥ Σ_m L_m − 2 ε_A Σ_m E[(R_{1:m−1} − c)⁺] TV_m for every clamp, with equality at c = ∞."""
    new_joint = np.exp(cases.factors.log_joint + cases.factors.log_factor[:, -1])
    expected = np.sum(new_joint * cases.old.advantage, -1)
    slack = 1e-9 * largest(cases.old.advantage)[:, None]
    assert np.all(expected >= cases.clamped.advantage_bound - slack)
    assert np.all(np.abs(expected - cases.clamped.advantage_bound[-1]) <= slack)


def test_each_position_pays_no_more_than_its_penalty(cases):
    """|E[(R − min(R, c)) (r_m − 1) A]| ≤ 2 ε_A E[(R − c)⁺] TV_m, the step behind the bound."""
    missed = np.abs(cases.clamped.surrogate[-1] - cases.clamped.surrogate)
    assert np.all(missed <= cases.clamped.penalty + 1e-9 * largest(cases.old.advantage)[:, None, None])


def test_states_shift_no_further_than_the_policy(cases):
    """‖d^π' − d^π‖₁ ≤ 2γ / (1 − γ) E_{d^π}[TV]. Source: Achiam et al. 2017, Lemma 3."""
    gamma = cases.game.gamma
    shift = np.abs(cases.new.state_distribution - cases.old.state_distribution).sum(-1)
    distance = np.sum(cases.old.state_distribution * joint_distance(cases), -1)
    assert np.all(shift <= 2 * gamma / (1 - gamma) * distance + 1e-9)


def test_improvement(cases):
    """J(π') − J(π) is at least the bound, for every clamp; where the bound is ≥ 0 the return does not fall."""
    improvement = cases.new.expected_return - cases.old.expected_return
    slack = 1e-9 * (largest(cases.old.advantage) / (1 - cases.game.gamma) ** 2)
    assert np.all(improvement >= cases.clamped.improvement_bound - slack)
    promised = cases.clamped.improvement_bound >= 0
    assert np.any(promised[1])  # the statement is not empty
    assert np.all((improvement >= -slack) | ~promised)


def test_without_a_future_and_without_a_clamp_the_bound_is_the_improvement(cases):
    myopic = cases.game.gamma == 0
    improvement = cases.new.expected_return - cases.old.expected_return
    np.testing.assert_allclose(cases.clamped.improvement_bound[-1][myopic], improvement[myopic], rtol=1e-9, atol=1e-9)
