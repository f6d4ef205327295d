"""Exact updates keep their promises: the bound, the trust region, and the cases they reduce to."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.laboratories import games as theory

CLAMPS = (0.3, 1.0, 2.0, np.inf)
SHAPE = (3, 3, 2)  # N, S, A


def old_quantities(game, logits):
    old = theory.evaluate(game, jax.nn.softmax(logits))
    return old.advantage, old.state_distribution


@pytest.mark.parametrize(
    "agent_update, schedule",
    [
        (theory.exact_trust_region_step, "random"),
        (theory.exact_trust_region_step, "simultaneous"),
        (theory.exact_gradient_step, "fixed"),
    ],
)
def test_promises_of_a_run(problems, agent_update, schedule):
    """1,000 iterations: 200 games, four clamps, step sizes of six orders of magnitude."""
    game, logits = problems(0, SHAPE, 200)
    size = 10.0 ** np.random.default_rng(0).uniform(-6.0, 0.0, 200)
    hypers = [theory.GameHypers(CLAMPS[i % 4], kl_threshold=size[i], learning_rate=size[i]) for i in range(200)]
    hypers = jax.tree.map(lambda *x: np.array(x), *hypers)
    settings = {"num_iterations": 5, "agent_update": agent_update, "schedule": schedule}
    keys = jax.random.split(jax.random.key(0), 200)
    history = jax.tree.map(np.asarray, jax.vmap(partial(theory.run, **settings))(keys, game, logits, hypers))
    info = history.info
    change = np.diff(history.expected_return, axis=1)
    slack = 1e-9 / (1 - game.gamma[:, None]) ** 3
    promised = info.improvement_bound >= 0
    assert 0.05 < promised.mean() < 0.99
    assert np.all(change >= info.improvement_bound - slack)
    assert np.all((change >= -slack) | ~promised)

    assert np.all(np.sort(info.order, axis=-1) == np.arange(SHAPE[0]))
    assert np.all(info.prefix_total_variation[..., 0] < 1e-12)
    assert np.all(history.nash_gap >= 0) and np.all(np.isfinite(history.logits))
    if agent_update is theory.exact_trust_region_step:
        assert np.all(info.kl < hypers.kl_threshold[:, None, None])
        assert np.mean(info.accepted) > 0.95
        assert np.all((info.kl > 0) == info.accepted)


def test_refused_steps_change_nothing(problems):
    """All actions alike: no direction to go in."""
    game, logits = problems(15, SHAPE)
    game = game.replace(reward=jnp.zeros_like(game.reward))
    moved, info = theory.update(jax.random.key(0), game, logits, theory.GameHypers())
    assert np.array_equal(moved, logits) and not np.any(info.accepted) and np.all(info.kl == 0)


def test_infinite_clamp_is_the_raw_product(problems):
    """Agent after agent in Python, weighted by quotients of probabilities."""
    game, logits = problems(1, SHAPE)
    advantage, states = old_quantities(game, logits)
    hypers, order = theory.GameHypers(factor_clip=jnp.inf, kl_threshold=0.1), (2, 0, 1)
    moved, _ = theory.exact_sequential_update(
        jnp.array(order), logits, advantage, states, hypers, theory.exact_trust_region_step
    )
    jitted_step = jax.jit(theory.exact_trust_region_step)
    own = theory.joint_actions(3, 2)
    policy = np.asarray(jax.nn.softmax(logits))
    factor = np.ones_like(advantage)
    for agent in order:
        halves = []
        for half in (np.maximum(advantage, 0), np.maximum(-advantage, 0)):
            others = np.prod([policy[i][:, own[i]] for i in range(3) if i != agent], axis=0)
            table = others * factor * half
            halves.append(np.stack([table[:, own[agent] == a].sum(-1) for a in range(2)], -1))
        new, _ = jitted_step(logits[agent], theory.WeightedAdvantage(*halves), states, hypers)
        np.testing.assert_allclose(moved[agent], new, rtol=1e-9)
        factor = factor * (np.asarray(jax.nn.softmax(new)) / policy[agent])[:, own[agent]]


def test_a_clamp_that_never_bites_is_no_clamp(problems):
    game, logits = problems(2, SHAPE)
    moved = [
        theory.update(jax.random.key(0), game, logits, theory.GameHypers(c, kl_threshold=1e-3))[0]
        for c in (50.0, jnp.inf, 1.0)
    ]
    np.testing.assert_array_equal(moved[0], moved[1])
    assert not np.allclose(moved[0], moved[2], rtol=1e-6)


@pytest.mark.parametrize("agent_update", [theory.exact_trust_region_step, theory.exact_gradient_step])
def test_one_agent_alone(problems, agent_update):
    """N = 1: the factor is 1, g is the advantage, and no clamp from 1 up matters."""
    game, logits = problems(3, (1, 4, 3))
    advantage, states = old_quantities(game, logits)
    halves = theory.WeightedAdvantage(jnp.maximum(advantage, 0), jnp.maximum(-advantage, 0))
    hypers = theory.GameHypers()
    expected, _ = jax.jit(agent_update)(logits[0], halves, states, hypers)
    for factor_clip in (1.0, 2.0, np.inf):
        hypers = theory.GameHypers(factor_clip=factor_clip)
        moved, _ = theory.update(jax.random.key(0), game, logits, hypers, agent_update=agent_update)
        np.testing.assert_allclose(moved[0], expected, rtol=1e-12)


def test_the_natural_gradient_solves_the_fisher_system(problems):
    """F x = ∇L by automatic differentiation of the KL and of the surrogate."""
    game, logits = problems(4, (1, 4, 3))
    advantage, states = old_quantities(game, logits)
    flat = logits[0].ravel()
    kl = lambda x: theory.kl_and_gain(x.reshape(4, 3), logits[0], advantage, states)[0]
    gain = lambda x: theory.kl_and_gain(x.reshape(4, 3), logits[0], advantage, states)[1]
    fisher, gradient = jax.jit(jax.hessian(kl))(flat), jax.jit(jax.grad(gain))(flat)
    mean = jnp.sum(jax.nn.softmax(logits[0]) * advantage, -1, keepdims=True)
    direction = (advantage - mean).ravel()
    np.testing.assert_allclose(fisher @ direction, gradient, rtol=1e-9, atol=1e-12)


def test_surrogate_of_a_step_is_the_surrogate_of_its_position(problems):
    """The gain of tables over one agent's actions equals the enumeration over joint actions."""
    game, logits = problems(5, SHAPE)
    hypers = theory.GameHypers(factor_clip=0.7, kl_threshold=0.5)
    advantage, states = old_quantities(game, logits)
    order = jnp.array([1, 2, 0])
    moved, step = theory.exact_sequential_update(
        order, logits, advantage, states, hypers, theory.exact_trust_region_step
    )
    factors = theory.sequential_factors(theory.log_policies(moved), theory.log_policies(logits), order)
    np.testing.assert_allclose(theory.surrogates(factors, advantage, 0.7) @ states, step.gain, rtol=1e-9)


@pytest.mark.parametrize("clip_eps", [0.2, np.inf])
def test_the_clipped_objective_is_the_mean_over_joint_actions(problems, clip_eps):
    """mean of min(R, c) · min(r A, clip(r) A) in plain probabilities; a large ratio on either side of the clip."""
    game, logits = problems(6, SHAPE)
    advantage, states = old_quantities(game, logits)
    log_policy, rng = theory.log_policies(logits), np.random.default_rng(0)
    log_factor = jnp.asarray(0.5 * rng.normal(size=advantage.shape))
    agent, new = jnp.array(1), logits[1] + rng.normal(size=logits[1].shape)
    weighted = theory.weighted_advantage(log_policy, advantage, log_factor, agent, 1.0)
    # The factor of the agents before must not depend on the agent's own action; here it does, and that is harmless.
    ratio = (jax.nn.softmax(new) / jax.nn.softmax(logits[1]))[:, theory.joint_actions(3, 2)[agent]]
    least = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip_eps, 1 + clip_eps) * advantage)
    weight = jnp.minimum(jnp.exp(log_factor), 1.0)
    expected = jnp.sum(jnp.exp(theory.joint_log_policy(log_policy)) * weight * least, -1) @ states
    found = theory.clipped_objective(new, logits[1], weighted, states, clip_eps)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_gradient_steps_climb_the_unclipped_surrogate(problems):
    game, logits = problems(9, SHAPE)
    hypers = theory.GameHypers(learning_rate=0.1, clip_eps=jnp.inf)
    advantage, states = old_quantities(game, logits)
    _, step = theory.exact_sequential_update(
        jnp.arange(3), logits, advantage, states, hypers, theory.exact_gradient_step
    )
    assert bool(jnp.all(step.gain > 0))


def test_simultaneous_agents_do_not_see_each_other(problems):
    game, logits = problems(10, SHAPE)
    hypers = theory.GameHypers(kl_threshold=0.1)
    advantage, states = old_quantities(game, logits)
    together, _ = theory.exact_simultaneous_update(
        jnp.arange(3), logits, advantage, states, hypers, theory.exact_trust_region_step
    )
    for agent in range(3):  # whoever moves first in a sequence sees what it would see alone
        order = jnp.roll(jnp.arange(3), -agent)
        moved, _ = theory.exact_sequential_update(
            order, logits, advantage, states, hypers, theory.exact_trust_region_step
        )
        np.testing.assert_allclose(together[agent], moved[agent], rtol=1e-12)


def test_most_random_games_end_in_an_equilibrium(problems):
    """All but the few in which float64 lost an action."""
    game, logits = problems(16, SHAPE, 100)
    keys = jax.random.split(jax.random.key(0), 100)
    runs = jax.vmap(partial(theory.run, num_iterations=60), in_axes=(0, 0, 0, None))
    history = runs(keys, game, logits, theory.GameHypers())
    assert np.mean(np.asarray(history.nash_gap[:, -1]) < 1e-6) >= 0.97


@pytest.mark.parametrize("factor_clip", [1.0, np.inf])
def test_the_gap_falls_towards_zero(x64, factor_clip):
    """Two agents meet in a corridor: sequential trust-region steps end in an equilibrium."""
    game, hypers = theory.meeting_game(num_agents=2), theory.GameHypers(factor_clip=factor_clip)
    history = theory.run(jax.random.key(0), game, jnp.zeros((2, 9, 3)), hypers, num_iterations=60)
    assert history.nash_gap[0] > 1.0 and history.nash_gap[-1] < 1e-6


def test_a_run_is_its_updates(x64):
    game, logits, hypers = theory.meeting_game(num_agents=2), jnp.zeros((2, 9, 3)), theory.GameHypers()
    key = jax.random.key(12)
    history = theory.run(key, game, logits, hypers, num_iterations=60)
    for iteration, order_key in enumerate(jax.random.split(key, 60)[:3]):
        policy, expected_return = jax.nn.softmax(logits), history.expected_return[iteration]
        np.testing.assert_allclose(expected_return, theory.evaluate(game, policy).expected_return, rtol=1e-9)
        np.testing.assert_allclose(history.nash_gap[iteration], theory.nash_gap(game, policy), rtol=1e-9)
        np.testing.assert_allclose(history.logits[iteration], logits, rtol=1e-9, atol=1e-12)
        logits, info = theory.update(order_key, game, logits, hypers)
        assert np.array_equal(history.info.order[iteration], info.order)


def test_an_unknown_schedule_is_refused(problems):
    game, logits = problems(13, SHAPE)
    with pytest.raises(ValueError, match="random, fixed, simultaneous"):
        theory.update(jax.random.key(0), game, logits, theory.GameHypers(), schedule="sometimes")


def test_epochs_may_be_chosen(problems):
    game, logits = problems(14, SHAPE)
    still = partial(theory.exact_gradient_step, num_epochs=0)
    moved, _ = theory.update(jax.random.key(0), game, logits, theory.GameHypers(), agent_update=still)
    assert np.array_equal(moved, logits)
