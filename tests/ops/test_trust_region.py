"""Conjugate gradient solves, backtracking accepts the first candidate that meets its conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.ops import backtrack, conjugate_gradient

CONDITIONS = {"kl_threshold": 0.01, "accept_ratio": 0.5, "backtrack_coeff": 0.5, "num_steps": 4}


@pytest.mark.parametrize("seed", range(5))
def test_conjugate_gradient_solves_random_spd_systems(seed):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(8, 8))
        matrix, b = jnp.asarray(root @ root.T + 0.5 * np.eye(8)), jnp.asarray(rng.normal(size=8))
        x, _ = conjugate_gradient(lambda v: matrix @ v, b, 20)
        np.testing.assert_allclose(x, np.linalg.solve(matrix, b), rtol=0, atol=1e-5)
        early, early_image = conjugate_gradient(lambda v: matrix @ v, b, 3)
        np.testing.assert_allclose(early_image, matrix @ early, rtol=1e-9)


def test_conjugate_gradient_stays_put_once_it_is_done():
    """More iterations than dimensions, a zero right-hand side, and lanes that finish at different times."""
    matrices = jnp.stack([jnp.eye(3), jnp.diag(jnp.array([1.0, 2.0, 3.0])), jnp.eye(3)])
    b = jnp.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    solve = jax.vmap(lambda m, y: conjugate_gradient(lambda v: m @ v, y, 10))
    expected = [[1.0, 2.0, 3.0], [1.0, 1 / 2, 1 / 3], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(solve(matrices, b)[0], expected, rtol=1e-5, atol=1e-6)


def test_the_first_good_candidate_is_accepted():
    """KL = 0.1 s²: 0.1, 0.025, 0.00625 → the third, s = 1/4, is the first below 0.01."""
    search = backtrack(lambda s: (0.1 * s**2, 0.9 * s), jnp.float32(1.0), jnp.array(True), **CONDITIONS)
    assert bool(search.accepted) and int(search.evaluations) == 3 and float(search.scale) == 0.25
    np.testing.assert_allclose(search.kl, [0.1, 0.025, 0.00625, 0.0], rtol=1e-6)
    np.testing.assert_allclose(search.gain, [0.9, 0.45, 0.225, 0.0], rtol=1e-6)
    np.testing.assert_allclose(search.expected_gain, [1.0, 0.5, 0.25, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda s: (jnp.float32(1.0), s),  # KL too large
        lambda s: (jnp.float32(0.0), -s),  # a loss
        lambda s: (jnp.float32(0.0), 0.4 * s),  # less than accept_ratio of what was expected
        lambda s: (jnp.float32(jnp.nan), s),
        lambda s: (jnp.float32(0.0), jnp.float32(jnp.nan) * s),
    ],
)
def test_refusal_is_a_value(evaluate):
    search = backtrack(evaluate, jnp.float32(1.0), jnp.array(True), **CONDITIONS)
    assert not bool(search.accepted) and int(search.evaluations) == 4 and float(search.scale) == 0.0


def test_an_impossible_step_tries_nothing():
    search = backtrack(lambda s: (0.0 * s, s), jnp.float32(1.0), jnp.array(False), **CONDITIONS)
    assert not bool(search.accepted) and int(search.evaluations) == 0


def test_lanes_stop_on_their_own():
    def search(curvature):
        return backtrack(lambda s: (curvature * s**2, s), jnp.float32(1.0), jnp.array(True), **CONDITIONS)

    together = jax.vmap(search)(jnp.array([0.001, 0.1, 100.0]))
    assert together.accepted.tolist() == [True, True, False]
    assert together.evaluations.tolist() == [1, 3, 4]
