"""The trust-region step: Fisher products are exact, accepted steps keep their promises, refused ones change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits
from jax.flatten_util import ravel_pytree
from rules import update_of

from ltro_jax import make_train
from ltro_jax.algorithms import Position
from ltro_jax.algorithms.hatrpo import DAMPING, HATRPO, natural_direction, surrogate
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import policy
from ltro_jax.config import Config, Hypers, SettingsError, Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import clamped_factor
from ltro_jax.types import AgentBatch, AgentState

STEPS, ENVS, OBSERVATION, ACTIONS = 5, 4, 3, 3


def problem(discrete: bool, dtype=jnp.float32):
    """A tiny actor (parameters of one agent), its batch and a weight."""
    keys = jax.random.split(jax.random.key(0), 6)
    actor = make_actor((OBSERVATION,), (ACTIONS,), discrete, (4,))
    hypers = jax.tree.map(lambda x: jnp.asarray(x, dtype), Hypers(kl_threshold=0.01))
    params = jax.tree.map(lambda leaf: leaf[0].astype(dtype), actor.init(keys[0], hypers))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(keys[1], leaf.shape, dtype), params)
    shape = (STEPS, ENVS)
    batch = AgentBatch(
        observation=jax.random.normal(keys[2], (*shape, OBSERVATION), dtype),
        action=jnp.zeros(shape, jnp.int32),
        action_mask=jnp.ones((*shape, ACTIONS), bool),
        active_mask=jnp.ones(shape, bool).at[0, 0].set(False),
        log_prob=jnp.zeros(shape, dtype),
        advantage=jax.random.normal(keys[3], shape, dtype),
        observation_mask=None,
    )
    old = policy(actor, params, batch, hypers)
    action = old.sample(keys[4])
    weight = jax.random.uniform(keys[5], shape, dtype)
    return actor, params, batch.replace(action=action, log_prob=old.log_prob(action)), weight, hypers


@pytest.mark.parametrize("discrete", [True, False])
def test_product_equals_the_hessian_of_the_kl(discrete):
    with jax.enable_x64(True):
        actor, params, batch, weight, hypers = problem(discrete, jnp.float64)
        flat, unravel = ravel_pytree(params)
        old = policy(actor, params, batch, hypers)

        def mean_kl(theta):
            return jnp.mean(old.kl(policy(actor, unravel(theta), batch, hypers)))

        fisher = jax.jit(jax.hessian(mean_kl))(flat) + DAMPING * jnp.eye(flat.size)
        direction = jax.jit(lambda p: natural_direction(actor, p, batch, weight, hypers, cg_iterations=10))
        found = direction(params)
        np.testing.assert_allclose(found.product, fisher @ found.vector, rtol=1e-9, atol=1e-12)
        objective = jax.jit(
            jax.grad(lambda theta: surrogate(policy(actor, unravel(theta), batch, hypers), batch, weight))
        )
        gradient = objective(flat)
        np.testing.assert_allclose(found.gradient, gradient, rtol=1e-12)
        quadratic = 0.5 * found.step_size**2 * found.vector @ fisher @ found.vector
        np.testing.assert_allclose(quadratic, hypers.kl_threshold, rtol=1e-9)


@pytest.mark.parametrize("discrete", [True, False])
def test_an_accepted_step_meets_its_conditions(discrete):
    actor, params, batch, weight, hypers = problem(discrete)
    update = jax.jit(update_of(HATRPO(actor, Static())))
    agent = AgentState(params, init_optimizer("adam", jax.tree.map(lambda leaf: leaf[None], params)))
    after, info = update(jax.random.key(1), agent, batch, weight, hypers)
    assert bool(info.accepted)
    kl = jnp.mean(policy(actor, params, batch, hypers).kl(policy(actor, after.params, batch, hypers)))
    np.testing.assert_allclose(kl, info.step_kl, rtol=1e-4, atol=1e-7)
    before, gained = (surrogate(policy(actor, p, batch, hypers), batch, weight) for p in (params, after.params))
    assert kl < hypers.kl_threshold and gained > before
    assert (gained - before) / info.expected_gain > hypers.accept_ratio - 1e-3
    assert_same_bits(agent.opt_state, after.opt_state)


@pytest.mark.parametrize("change", ["no candidate is good enough", "no advantage", "not finite"])
def test_a_refused_step_leaves_the_bits(change):
    actor, params, batch, weight, hypers = problem(True)
    if change == "no candidate is good enough":
        hypers = hypers.replace(accept_ratio=jnp.float32(100.0))
    elif change == "no advantage":
        batch = batch.replace(advantage=jnp.zeros_like(batch.advantage))
    else:
        batch = batch.replace(advantage=batch.advantage.at[1, 1].set(jnp.nan))
    agent = AgentState(params, init_optimizer("adam", jax.tree.map(lambda leaf: leaf[None], params)))
    after, info = jax.jit(update_of(HATRPO(actor, Static())))(jax.random.key(1), agent, batch, weight, hypers)
    assert not bool(info.accepted)
    assert_same_bits(agent, after)


def test_everyone_dead_changes_nothing():
    actor, params, batch, weight, hypers = problem(True)
    batch = batch.replace(active_mask=jnp.zeros_like(batch.active_mask))
    agent = AgentState(params, init_optimizer("adam", jax.tree.map(lambda leaf: leaf[None], params)))
    after, info = jax.jit(update_of(HATRPO(actor, Static())))(jax.random.key(1), agent, batch, weight, hypers)
    assert not bool(info.accepted) and float(info.grad_norm) == 0.0
    assert_same_bits(agent, after)


@pytest.mark.parametrize("large", [200.0, 1e4])
@pytest.mark.parametrize("of", ["factor", "own ratio"])
def test_overflowing_factors_and_ratios_leave_everything_finite(of, large):
    """log R, or log r against the stored log-probability, of 200 and 1e4 on two samples: a step is still taken."""
    actor, params, batch, _, hypers = problem(True)
    logs = jnp.zeros(batch.log_prob.shape).at[1, 1].set(large).at[0, 0].set(large)  # the latter's agent is dead
    weight = clamped_factor(logs if of == "factor" else jnp.zeros_like(logs), jnp.inf)
    if of == "own ratio":
        batch = batch.replace(log_prob=batch.log_prob - logs)
    agent = AgentState(params, init_optimizer("adam", jax.tree.map(lambda leaf: leaf[None], params)))
    after, info = jax.jit(update_of(HATRPO(actor, Static())))(jax.random.key(1), agent, batch, weight, hypers)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves((after, info)))
    assert bool(info.accepted)


def test_shares_of_the_trust_region():
    """N · δ is divided among the positions in proportion to the shares."""
    rule = HATRPO(problem(True)[0], Static(kl_shares=(1.0, 3.0, 4.0)))
    hypers = Hypers(kl_threshold=0.01)
    budgets = [float(rule.kl_budget(Position(jnp.asarray(index), 3), hypers)) for index in range(3)]
    np.testing.assert_allclose(budgets, 0.03 * np.array([1, 3, 4]) / 8, rtol=1e-6)
    equal = HATRPO(problem(True)[0], Static())
    assert equal.kl_budget(Position(jnp.asarray(1), 3), hypers) == 0.01
    config = Config.from_dict({"task": "mpe/simple_spread", "algorithm": "hatrpo", "kl_shares": "1,2"})
    with pytest.raises(SettingsError, match="kl_shares = 1,2 has 2 numbers; give one for each of the 3 positions"):
        make_train(config)
