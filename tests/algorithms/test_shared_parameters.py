"""One actor for all agents: the passes as a plain loop, and where they coincide with independent actors."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rules import gradient_step_of

from ltro_jax.algorithms import sequential_update, shared_update
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.ppo import HAPPO, MAPPO
from ltro_jax.algorithms.shared_parameters import shared_passes
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_actor
from ltro_jax.types import AgentBatch, AgentState

N, T, B, OBSERVATION, ACTIONS = 3, 4, 5, 6, 3
KEY = jax.random.key(2)
ACTOR = make_actor([OBSERVATION], [ACTIONS], True, (8,))


def hypers(**settings):
    return jax.tree.map(np.float32, Hypers(actor_lr=3e-2, factor_clip=np.inf).replace(**settings))


def one(tree, index=0):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def measure(log_factor, weight, log_ratio, batch, hypers):
    return {"before": jnp.exp(log_factor), "weight": weight, "log_ratio": log_ratio}


@lru_cache
def problem(num_agents=N):
    """The actor `[1, …]` and its rollout `[N, T, B, …]`; a fifth of the samples belong to dead agents."""
    generator, shape = np.random.default_rng(0), (num_agents, T, B)
    params = jax.jit(ACTOR.init)(jax.random.key(0), hypers())
    batch = AgentBatch(
        observation=generator.normal(size=(*shape, OBSERVATION)).astype(np.float32),
        action=generator.integers(ACTIONS, size=shape).astype(np.int32),
        action_mask=np.ones((*shape, ACTIONS), bool),
        active_mask=generator.random(shape) < 0.8,
        log_prob=np.zeros(shape, np.float32),
        advantage=generator.normal(size=shape).astype(np.float32),
    )
    log_prob = jax.jit(lambda p, b: policy(ACTOR, p, b, hypers()).log_prob(b.action))(one(params), batch)
    return jax.device_get((AgentState(params, init_optimizer("adam", params)), batch.replace(log_prob=log_prob)))


def update(rule=HAPPO, num_agents=N, **settings):
    agents, batch = problem(num_agents)
    static = Static(**({"actor_epochs": 3} | settings))

    def run(agents, batch, point):
        groups = (0,) * num_agents
        return shared_update(KEY, agents, batch, point, rule=rule(ACTOR, static), measure=measure, groups=groups)

    return jax.jit(run), agents, batch


@pytest.mark.parametrize("factor_clip", [np.inf, 1.0])
def test_the_passes_are_the_loop_over_epochs_and_agents(factor_clip):
    """R starts at 1 in every epoch and never contains the ratio of the agent it weights."""
    run, agents, batch = update()
    result = run(agents, batch, hypers(factor_clip=factor_clip))
    rule = HAPPO(ACTOR, Static())
    step, log_ratio = jax.jit(gradient_step_of(rule)), jax.jit(rule.log_ratio)
    agent, order, losses = one(agents), np.array(result.agent_order), np.zeros((N, 3))
    for epoch in range(3):
        factor, factors = np.ones((T, B)), []
        for index in order:
            own, weight = one(batch, index), np.minimum(factor, factor_clip).astype(np.float32)
            flat_own, flat_weight = jax.tree.map(lambda x: x.reshape(T * B, *x.shape[2:]), (own, weight))
            agent, info = step(agent, flat_own, flat_weight, hypers(factor_clip=factor_clip))
            losses[index, epoch] = info.policy_loss
            factors.append(factor)
            factor = factor * np.exp(np.array(log_ratio(agent, own, hypers())))
    for ours, theirs in zip(jax.tree.leaves(one(result.agents.params)), jax.tree.leaves(agent.params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    np.testing.assert_allclose(result.info.policy_loss, losses, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(result.measured["before"].reshape(N, T, B), factors, rtol=1e-3)  # of the last epoch
    assert np.abs(np.array(factors[1:]) - 1).max() > 0.1  # the agents did move


def test_with_one_agent_it_is_the_independent_update():
    run, agents, batch = update(num_agents=1)
    static, settings = Static(actor_epochs=3), hypers(factor_clip=1.0)
    independent = jax.jit(
        lambda agents, batch: sequential_update(
            KEY, agents, batch, settings, rule=HAPPO(ACTOR, static), measure=measure
        )
    )(agents, batch)
    for rule in (HAPPO, MAPPO):
        run, agents, batch = update(rule, num_agents=1)
        shared = run(agents, batch, settings)
        for ours, theirs in zip(jax.tree.leaves(shared.agents), jax.tree.leaves(independent.agents), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(shared.info.grad_norm, independent.info.grad_norm, rtol=1e-4)


def test_minibatches_carry_the_factor_of_their_rows():
    """In every pass the first agent has weight 1, and the next one the ratio of the first after its step."""
    agents, batch = problem()
    rule, order = HAPPO(ACTOR, Static(actor_epochs=2, actor_minibatches=4)), jnp.array([2, 0, 1])
    settings = {"rule": rule, "measure": measure, "groups": (0,) * N}
    agents, passes = jax.jit(lambda a, b: shared_passes(KEY, a, b, hypers(), order, **settings))(agents, batch)
    assert passes.measured["before"].shape == (8, N, T * B // 4)
    np.testing.assert_array_equal(passes.measured["before"][:, 0], 1.0)
    after_first = np.exp(passes.measured["log_ratio"][:, 0])
    np.testing.assert_allclose(passes.measured["before"][:, 1], after_first, rtol=1e-5)
    after_second = after_first * np.exp(passes.measured["log_ratio"][:, 1])
    np.testing.assert_allclose(passes.measured["before"][:, 2], after_second, rtol=1e-5)
    assert optax.tree.get(agents.opt_state, "count") == 2 * 4 * N


def test_one_group_is_shared_and_a_group_for_each_pass_is_itself():
    """Groups (0, 0, 1): the third agent's parameters see its samples alone."""
    agents, batch = problem()
    two = jax.tree.map(lambda leaf: np.repeat(leaf, 2, axis=0), agents)
    rule, order = HAPPO(ACTOR, Static(actor_epochs=3)), jnp.array([0, 1, 2])

    def run(agents, batch, groups):
        settings = {"rule": rule, "measure": measure, "groups": groups}
        return jax.jit(lambda a, b: shared_update(KEY, a, b, hypers(), order=order[: len(groups)], **settings))(
            agents, batch
        )

    grouped = run(two, batch, (0, 0, 1))
    pair = run(agents, jax.tree.map(lambda leaf: leaf[:2], batch), (0, 0))
    for ours, theirs in zip(jax.tree.leaves(one(grouped.agents)), jax.tree.leaves(one(pair.agents)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    third = one(grouped.agents, 1)
    assert optax.tree.get(third.opt_state, "count") == 3 and optax.tree.get(one(pair.agents).opt_state, "count") == 6
    changed = batch.replace(advantage=batch.advantage * np.array([1, 1, -1], np.float32)[:, None, None])
    other = run(two, changed, (0, 0, 1))
    for ours, theirs in zip(jax.tree.leaves(one(grouped.agents)), jax.tree.leaves(one(other.agents)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(
        np.any(a != b)
        for a, b in zip(jax.tree.leaves(third.params), jax.tree.leaves(one(other.agents, 1).params), strict=True)
    )


def test_all_at_once_takes_the_samples_of_all_agents_as_one_batch():
    """One step on the union of the batches; who is who does not matter to it."""
    run, agents, batch = update(MAPPO, actor_epochs=1)
    result = run(agents, batch, hypers())
    turned = run(agents, jax.tree.map(lambda leaf: leaf[::-1], batch), hypers())
    for ours, theirs in zip(jax.tree.leaves(result.agents), jax.tree.leaves(turned.agents), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    alive = np.array(batch.active_mask)
    np.testing.assert_allclose(result.info.policy_loss, -np.mean(batch.advantage[alive]), rtol=1e-4)
    assert result.info.policy_loss.shape == (N, 1)
    np.testing.assert_array_equal(result.measured["weight"], 1.0)
    log_ratio = np.array(result.measured["log_ratio"])
    np.testing.assert_allclose(result.measured["before"][1], np.exp(log_ratio[0]), rtol=1e-5)


@pytest.mark.parametrize("rule", [HAPPO, MAPPO])
def test_everyone_dead_changes_nothing(rule):
    run, agents, batch = update(rule)
    result = run(agents, batch.replace(active_mask=np.zeros((N, T, B), bool)), hypers())
    for ours, theirs in zip(jax.tree.leaves(result.agents.params), jax.tree.leaves(agents.params), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert all(np.isfinite(rows).all() for rows in result.info)
