"""Studies of many games are the single updates and runs they are made of."""

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.laboratories import games as theory
from ltro_jax.laboratories.games.problems import courses, random_problems, weight_moments

SHAPE = (3, 2, 2)  # N, S, A


def problem(problems, index):
    return jax.tree.map(lambda leaf: leaf[index], problems)


def test_a_game_is_the_same_in_any_company(x64):
    few, many = (random_problems(5, count, *SHAPE, 0.9) for count in (2, 4))
    for one, other in zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True):
        assert jnp.array_equal(one, other[:2])
    assert not jnp.allclose(many.game.reward[0], many.game.reward[1])
    assert not jnp.allclose(few.game.reward, random_problems(6, 2, *SHAPE, 0.9).game.reward)


def test_moments_of_a_batch_of_updates(x64):
    """Against one game's update, and against hand-made sums over its joint actions."""
    problems = random_problems(0, 4, *SHAPE, 0.9)
    for clip in (1.0, np.inf):
        hypers = theory.GameHypers(factor_clip=clip, kl_threshold=0.1)
        found = weight_moments(problems, hypers)
        game, logits, key = problem(problems, 1)
        new_logits, info = theory.update(key, game, logits, hypers)
        old = theory.evaluate(game, jax.nn.softmax(logits))
        unit = float(jnp.max(jnp.abs(old.advantage))) ** 2
        np.testing.assert_allclose(found.variance[1] * unit, info.clamped_variance, rtol=1e-9)

        ratio = np.asarray(jax.nn.softmax(new_logits) / jax.nn.softmax(logits))
        own, order = theory.joint_actions(3, 2), np.asarray(info.order)
        weight = np.minimum(ratio[order[0]][:, own[order[0]]] * ratio[order[1]][:, own[order[1]]], clip)
        joint = np.asarray(theory.joint_policy(jax.nn.softmax(logits)) * old.state_distribution[:, None])
        last = np.sum(joint * (weight * np.asarray(old.advantage)) ** 2)
        np.testing.assert_allclose(found.second_moment[1, -1] * unit, last, rtol=1e-9)
        np.testing.assert_allclose(found.factor_second_moment[1, -1], np.sum(joint * weight**2), rtol=1e-9)
        np.testing.assert_allclose(
            found.bound[1, -1], clip * np.sum(joint * weight) if clip == 1 else np.inf, rtol=1e-9
        )
        assert np.all(found.second_moment <= found.bound) and np.all(found.variance <= found.second_moment)


def test_courses_are_runs(x64):
    problems, hypers = random_problems(0, 4, *SHAPE, 0.9), theory.GameHypers(kl_threshold=0.1)
    found = courses(problems, hypers, num_iterations=6)
    game, logits, key = problem(problems, 2)
    history = theory.run(key, game, logits, hypers, num_iterations=6)
    np.testing.assert_allclose(found.expected_return[2], history.expected_return, rtol=1e-9)
    np.testing.assert_allclose(found.nash_gap[2], history.nash_gap, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.improvement_bound[2], history.info.improvement_bound, rtol=1e-9, atol=1e-12)
    assert found.accepted.shape == (4, 6) and found.accepted[:, 0].all()
