"""Exact values against long sums over time, and against the identities that define them."""

import jax.numpy as jnp
import numpy as np

from ltro_jax.laboratories.games import float64
from ltro_jax.laboratories.games.evaluation import solve_dominant

LONG = 1200  # steps; 0.97^1200 < 1e-15


def induced(cases):
    """P^π `[G, S, S]` and r^π `[G, S]` in NumPy, from products of probabilities."""
    policy = np.exp(cases.log_policy)
    num_agents = policy.shape[1]
    letters = "abcd"[:num_agents]
    joint = np.einsum(",".join(f"gs{x}" for x in letters) + "->gs" + letters, *np.moveaxis(policy, 1, 0))
    joint = joint.reshape(*joint.shape[:2], -1)
    return np.einsum("gsj,gsjt->gst", joint, cases.game.transition), np.einsum("gsj,gsj->gs", joint, cases.game.reward)


def test_values_and_states_against_a_long_sum(cases):
    transition, reward = induced(cases)
    gamma = cases.game.gamma[:, None]
    value, occupancy, states = np.zeros_like(reward), np.zeros_like(reward), cases.game.start
    for step in range(LONG):
        value = reward + gamma * np.einsum("gst,gt->gs", transition, value)
        occupancy = occupancy + (1 - gamma) * gamma**step * states
        states = np.einsum("gs,gst->gt", states, transition)
    np.testing.assert_allclose(cases.old.value, value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cases.old.state_distribution, occupancy, rtol=1e-9)
    np.testing.assert_allclose(cases.old.expected_return, np.sum(cases.game.start * value, -1), rtol=1e-9, atol=1e-9)
    # The same return seen from the states visited.
    np.testing.assert_allclose(
        cases.old.expected_return, np.sum(occupancy * reward, -1) / (1 - gamma[:, 0]), rtol=1e-9, atol=1e-9
    )


def test_state_distribution_is_one(cases):
    np.testing.assert_allclose(cases.old.state_distribution.sum(-1), 1.0, rtol=1e-12)
    assert np.all(cases.old.state_distribution >= 0)


def test_bellman_and_advantage(cases):
    """Q = r + γ P V, and the old policy expects no advantage over itself."""
    ahead = np.einsum("gsjt,gt->gsj", cases.game.transition, cases.old.value)
    expected = cases.game.reward + cases.game.gamma[:, None, None] * ahead
    np.testing.assert_allclose(cases.old.action_value, expected, rtol=1e-9, atol=1e-9)
    mean = np.sum(np.exp(cases.factors.log_joint) * cases.old.advantage, -1)
    np.testing.assert_allclose(mean, 0.0, atol=1e-9 * (1 + np.abs(cases.old.value).max()))


def test_performance_difference(cases):
    """J(π') − J(π) = E_{s~d^π', a~π'}[A^π] / (1 − γ). Source: Kakade & Langford 2002."""
    new_joint = np.exp(cases.factors.log_joint + cases.factors.log_factor[:, -1])
    gain = np.sum(cases.new.state_distribution * np.sum(new_joint * cases.old.advantage, -1), -1)
    difference = cases.new.expected_return - cases.old.expected_return
    np.testing.assert_allclose(difference, gain / (1 - cases.game.gamma), rtol=1e-9, atol=1e-9)


def test_elimination_solves_what_lapack_solves():
    """Systems I − γP and their transposes, up to 30 states and γ = 0.999."""
    generator = np.random.default_rng(0)
    with float64():
        for size, gamma in ((1, 0.0), (3, 0.9), (30, 0.999)):
            system = np.eye(size) - gamma * generator.dirichlet(np.ones(size), size)
            right = generator.normal(size=size)
            for matrix in (system, system.T):
                solved = solve_dominant(jnp.asarray(matrix), jnp.asarray(right))
                np.testing.assert_allclose(solved, np.linalg.solve(matrix, right), rtol=1e-10)
