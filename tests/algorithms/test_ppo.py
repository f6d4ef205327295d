"""One agent's PPO step: what its first step reports, what it ascends, and what leaves it unmoved."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rules import update_of

from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.ppo import HAA2C, HAPPO
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import clamped_factor
from ltro_jax.types import AgentBatch, AgentState

T, B, OBSERVATION, ACTIONS = 6, 4, 5, 3
KEY = jax.random.key(2)


def hypers(**settings):
    return jax.tree.map(np.float32, Hypers(actor_lr=1e-2).replace(**settings))


def one(stack, index=0):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], stack)


@lru_cache
def actor(discrete):
    return make_actor([OBSERVATION], [ACTIONS], discrete, (8,))


@lru_cache
def update(discrete, epochs=2, minibatches=1):
    static = Static(actor_epochs=epochs, actor_minibatches=minibatches)
    return jax.jit(update_of(HAPPO(actor(discrete), static)))


@lru_cache
def figures(discrete):
    """(params, batch) → log-probabilities of the actions, entropy."""

    def run(params, batch):
        distribution = policy(actor(discrete), params, batch, hypers())
        return distribution.log_prob(batch.action), distribution.entropy()

    return jax.jit(run)


@lru_cache
def problem(discrete):
    """An agent, its rollout and a weight; log-probabilities are the agent's own."""
    generator = np.random.default_rng(0)
    params = jax.jit(actor(discrete).init)(jax.random.key(0), hypers())
    agent = AgentState(one(params), one(init_optimizer("adam", params)))
    continuous = generator.normal(size=(T, B, ACTIONS)).astype(np.float32)
    batch = AgentBatch(
        observation=generator.normal(size=(T, B, OBSERVATION)).astype(np.float32),
        action=generator.integers(ACTIONS, size=(T, B)).astype(np.int32) if discrete else continuous,
        action_mask=np.ones((T, B, ACTIONS), bool),
        active_mask=generator.random((T, B)) < 0.7,
        log_prob=np.zeros((T, B), np.float32),
        advantage=generator.normal(size=(T, B)).astype(np.float32),
        observation_mask=None,
    )
    log_prob, _ = figures(discrete)(agent.params, batch)
    batch = batch.replace(log_prob=np.asarray(log_prob))
    return agent, batch, generator.uniform(0.2, 1.0, (T, B)).astype(np.float32)


@pytest.mark.parametrize("discrete", [True, False])
def test_the_first_step_reports_what_holds_before_it(discrete):
    """Ratio 1: the surrogate is the mean of weight · advantage over living samples."""
    agent, batch, weight = problem(discrete)
    _, info = update(discrete)(KEY, agent, batch, weight, hypers())
    alive = np.array(batch.active_mask)
    assert info.policy_loss.shape == (2,)
    np.testing.assert_allclose(info.policy_loss[0], -np.mean((weight * batch.advantage)[alive]), rtol=1e-4)
    _, entropy = figures(discrete)(agent.params, batch)
    np.testing.assert_allclose(info.entropy[0], np.mean(np.array(entropy)[alive]), rtol=1e-5)
    np.testing.assert_allclose(info.mean_ratio[0], 1.0, rtol=1e-5)
    assert info.policy_loss[1] < info.policy_loss[0]


@pytest.mark.parametrize("discrete", [True, False])
def test_the_gradient_is_that_of_the_written_formula(discrete):
    """At ratio 1 the gradient norm is ‖∇ mean(w·A·log π + c·H)‖."""
    agent, batch, weight = problem(discrete)
    coefficient = 0.3
    alive = batch.active_mask

    def objective(params):
        log_prob, entropy = figures(discrete)(params, batch)
        terms = weight * batch.advantage * log_prob + coefficient * entropy
        return jnp.sum(terms * alive) / jnp.sum(alive)

    gradient = jax.jit(jax.grad(objective))(agent.params)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(gradient)))
    _, info = update(discrete)(KEY, agent, batch, weight, hypers(ent_coef=coefficient))
    np.testing.assert_allclose(info.grad_norm[0], norm, rtol=1e-4)


@pytest.mark.parametrize("discrete", [True, False])
def test_all_dead_leaves_the_agent_bitwise_as_it_was(discrete):
    agent, batch, weight = problem(discrete)
    batch = batch.replace(active_mask=np.zeros((T, B), bool))
    after, info = update(discrete)(KEY, agent, batch, weight, hypers())
    for new, old in zip(jax.tree.leaves(after.params), jax.tree.leaves(agent.params), strict=True):
        np.testing.assert_array_equal(new, old)
    assert all(np.all(np.isfinite(rows)) for rows in info)


def test_weight_zero_leaves_only_the_entropy():
    """Pure entropy ascent: with weight 0 the advantages cannot matter, and the entropy rises."""
    agent, batch, weight = problem(False)
    settings = hypers(ent_coef=1.0)
    after, info = update(False)(KEY, agent, batch, 0 * weight, settings)
    other, _ = update(False)(KEY, agent, batch.replace(advantage=-batch.advantage), 0 * weight, settings)
    np.testing.assert_array_equal(after.params["params"]["log_std"], other.params["params"]["log_std"])
    assert info.entropy[1] > info.entropy[0]
    assert np.all(after.params["params"]["log_std"] > agent.params["params"]["log_std"])


def test_the_clip_stops_the_policy():
    """Many steps on one batch: with a small ε the ratios stay nearer to 1 than with a large one."""
    agent, batch, weight = problem(True)
    log_ratio = jax.jit(HAPPO(actor(True), Static()).log_ratio)
    spread = []
    for eps in (0.05, 10.0):
        settings = hypers(clip_eps=eps, ent_coef=0.0)
        after, _ = update(True, epochs=40)(KEY, agent, batch, np.ones_like(weight), settings)
        spread.append(np.abs(np.array(log_ratio(after, batch, settings))).mean())
    assert spread[0] < spread[1] / 2


def test_haa2c_ascends_the_unclipped_surrogate():
    """Many steps with a tiny ε: those of HAPPO with a clip that never acts, and not those of HAPPO with this ε."""
    agent, batch, weight = problem(True)
    haa2c = jax.jit(update_of(HAA2C(actor(True), Static(actor_epochs=40))))
    unclipped, info = haa2c(KEY, agent, batch, weight, hypers(clip_eps=1e-3))
    wide, wide_info = update(True, epochs=40)(KEY, agent, batch, weight, hypers(clip_eps=1e6))
    narrow, _ = update(True, epochs=40)(KEY, agent, batch, weight, hypers(clip_eps=1e-3))
    np.testing.assert_allclose(info.policy_loss, wide_info.policy_loss, rtol=1e-3, atol=1e-5)
    kernels = [state.params["params"]["head"]["kernel"] for state in (unclipped, wide, narrow)]
    np.testing.assert_allclose(kernels[0], kernels[1], atol=1e-4)
    assert np.abs(kernels[0] - kernels[2]).max() > 1e-2


def test_the_log_ratio_is_zero_before_any_step():
    agent, batch, _ = problem(True)
    log_ratio = jax.jit(HAPPO(actor(True), Static()).log_ratio)(agent, batch, hypers())
    np.testing.assert_allclose(log_ratio, np.zeros((T, B)), atol=1e-6)


def test_minibatches_are_steps_of_their_own():
    agent, batch, weight = problem(True)
    after, info = update(True, epochs=3, minibatches=4)(KEY, agent, batch, weight, hypers())
    assert info.policy_loss.shape == (12,)
    assert optax.tree.get(after.opt_state, "count") == 12
    again, _ = update(True, epochs=3, minibatches=4)(KEY, agent, batch, weight, hypers())
    other, _ = update(True, epochs=3, minibatches=4)(jax.random.key(9), agent, batch, weight, hypers())
    leaves = [jax.tree.leaves(state.params) for state in (after, again, other)]
    assert all(np.array_equal(a, b) for a, b in zip(leaves[0], leaves[1], strict=True))
    assert any(np.any(a != b) for a, b in zip(leaves[0], leaves[2], strict=True))


@pytest.mark.parametrize("large", [200.0, 1e4])
@pytest.mark.parametrize("of", ["factor", "own ratio", "both"])
@pytest.mark.parametrize("advantage", [2.0, 0.0, -2.0])
def test_overflowing_factors_and_ratios_leave_everything_finite(of, large, advantage):
    """log R, log r or both of 200 and 1e4 on a living and a dead sample: norm, clip and Adam stay finite."""
    agent, batch, _ = problem(True)
    logs = np.zeros((T, B), np.float32)
    logs[1, 1] = logs[2, 2] = large
    alive, signed = np.array(batch.active_mask), np.array(batch.advantage)
    alive[1, 1], alive[2, 2], signed[1, 1] = True, False, advantage
    batch = batch.replace(active_mask=alive, advantage=signed)
    if of != "factor":
        batch = batch.replace(log_prob=batch.log_prob - logs)
    weight = clamped_factor(np.zeros_like(logs) if of == "own ratio" else logs, np.float32(np.inf))
    after, info = update(True)(KEY, agent, batch, weight, hypers())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, info)))
    moved = jax.tree.map(lambda new, old: np.abs(new - old).max(), after.params, agent.params)
    assert 0 < max(jax.tree.leaves(moved)) < 0.05  # two steps of Adam with a learning rate of 0.01
