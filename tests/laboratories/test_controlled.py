"""The controlled measurement: what is enumerated, what is drawn and what is exact agree with one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.laboratories.controlled.measure import enumerable, make_controlled
from ltro_jax.laboratories.controlled.moments import second_moments, weighted_variances
from ltro_jax.laboratories.controlled.rules import rule_cells, rule_table
from ltro_jax.laboratories.games import joint_actions
from ltro_jax.training import make_train

DRAWS, SITUATIONS = 4096, 6


def measured(config, num_iterations=2, num_updates=1):
    """Draws and enumeration of a program after some iterations."""
    train = make_train(config)
    hypers = jax.tree.map(jnp.float32, config.hypers)

    def program(seed):
        state = train.init(seed, hypers)
        for _ in range(num_iterations):
            state, _ = train.iterate(state, hypers)
        return make_controlled(train.parts, SITUATIONS, DRAWS, num_updates)(jax.random.key(1), state, hypers)

    return train.parts, *jax.device_get(jax.jit(program)(3))


@pytest.fixture(scope="module")
def matching(tiny):
    """Three agents of the matching game, with steps large enough to move the policies."""
    return measured(tiny(num_agents=3, actor_lr=0.03, agent_order="random"), num_updates=2)


def test_moments_of_the_enumeration_are_the_exact_ones(matching):
    _, draws, enumeration = matching
    probability, factor = np.exp(enumeration.log_joint)[..., None], np.exp(enumeration.log_factor)
    np.testing.assert_allclose(probability.sum(1), 1.0, rtol=1e-5)
    np.testing.assert_allclose((probability * factor).sum(1), 1.0, rtol=1e-4)
    for power, log_moment in ((2, draws.log_second), (4, draws.log_fourth)):
        np.testing.assert_allclose((probability * factor**power).sum(1), np.exp(log_moment), rtol=1e-3)
    assert np.exp(draws.log_second[:, -1]).max() > 1.05  # the policies did move


def test_draws_are_rows_of_the_enumeration(matching):
    _, draws, enumeration = matching
    looked_up = enumeration.log_factor[draws.situation, draws.joint_action]
    np.testing.assert_allclose(looked_up, draws.log_factor, atol=1e-5)
    np.testing.assert_array_equal(draws.log_factor[:, 0], 0.0)
    assert len(np.unique(draws.situation)) == SITUATIONS


def test_advantages_are_those_of_the_game(matching):
    """Reward 1 if all choose the symbol; the situations show all three symbols, each with its own winning action."""
    parts, _, enumeration = matching
    table = joint_actions(parts.spec.num_agents, parts.spec.action_size).T
    same = (table == table[:, :1]).all(1)
    probability = np.exp(enumeration.log_joint)
    np.testing.assert_allclose((probability * enumeration.advantage).sum(1), 0.0, atol=1e-6)
    for advantage, chance in zip(enumeration.advantage, probability, strict=True):
        winning = int(advantage.argmax())
        assert same[winning]
        np.testing.assert_allclose(advantage, (np.arange(27) == winning) - chance[winning], atol=1e-5)


def test_estimates_agree_while_the_product_is_small(matching):
    _, draws, enumeration = matching
    found = second_moments(draws.log_second, draws.log_fourth, draws.log_factor)
    assert found["exact"][-1] < 2.0
    assert np.all(np.abs(found["estimate"] - found["exact"]) <= 4.0 * found["exact_error"] + 1e-6)
    np.testing.assert_allclose(found["standard_error"][1:], found["exact_error"][1:], rtol=0.3)
    where = {"situation": draws.situation, "joint_action": draws.joint_action}
    for clip in (np.inf, 1.0):
        variances = weighted_variances(**enumeration._asdict(), **where, factor_clip=clip)
        distance = np.abs(variances["estimate"] - variances["exact"])
        assert np.all(distance <= 4.0 * variances["standard_error"])
        assert variances["exact"][0] == pytest.approx(1.0, rel=1e-6)


def test_weights_of_the_factor_are_those_of_the_enumeration(matching):
    """Bias and variance of min(R, 1), R and 1, from sums over the joint actions."""
    _, _, enumeration = matching
    weights = {"R": ("clamp", np.inf), "min(R, 1)": ("clamp", 1.0), "none": ("none", np.nan)}
    table = rule_table(enumeration, weights)
    assert table["weight"].tolist() == ["R"] * 3 + ["min(R, 1)"] * 3 + ["none"] * 3
    assert table["agents_before"].tolist() == [0, 1, 2] * 3
    probability = np.exp(enumeration.log_joint.astype(float))[..., None] / SITUATIONS
    advantage, factor = enumeration.advantage.astype(float)[..., None], np.exp(enumeration.log_factor[..., :-1])
    unit = np.sum(probability * advantage**2)
    mean_raw = np.sum(probability * factor * advantage, (0, 1))
    for label, weight in {"R": factor, "min(R, 1)": np.minimum(factor, 1.0), "none": np.ones_like(factor)}.items():
        rows = table[table["weight"] == label]
        mean = np.sum(probability * weight * advantage, (0, 1))
        variance = np.sum(probability * (weight * advantage - mean) ** 2, (0, 1))
        np.testing.assert_allclose(rows["bias"], (mean - mean_raw) / np.sqrt(unit), atol=1e-6)
        np.testing.assert_allclose(rows["variance"], variance / unit, rtol=1e-5)
    assert table["bias"].iloc[5] < -1e-3  # the clamp removes part of what the agents before gained
    cells = rule_cells("a run", table.assign(seed=0))
    assert cells["weight"].tolist() == list(weights) and cells["agents before"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(cells["standard deviation"], np.sqrt(table["variance"].iloc[2::3]))
    silent = enumeration._replace(advantage=0.0 * enumeration.advantage)
    with pytest.raises(ValueError, match="the advantage of every action is 0"):
        rule_table(silent, weights)


@pytest.mark.parametrize("settings", [{"continuous_actions": True, "task": "probe/target"}, {"recurrent": True}])
def test_gaussians_and_memories(tiny, settings):
    """No enumeration, but exact moments: the draws' mean of R is 1 and that of R² is the product."""
    parts, draws, enumeration = measured(tiny(**settings), 1)
    assert enumeration is None and draws.joint_action is None and not enumerable(parts)
    factor = np.exp(draws.log_factor.astype(float))
    error = factor.std(0) / np.sqrt(DRAWS)
    assert np.all(np.abs(factor.mean(0) - 1.0) <= 4.0 * error + 1e-6)
    found = second_moments(draws.log_second, draws.log_fourth, draws.log_factor)
    assert np.all(np.abs(found["estimate"] - found["exact"]) <= 4.0 * found["exact_error"] + 1e-6)
