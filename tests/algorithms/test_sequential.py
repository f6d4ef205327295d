"""The sequential update: reductions, invariances, and the factor that goes from agent to agent."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules import update_of

from ltro_jax.algorithms import sequential_update
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.ppo import HAPPO, MAPPO
from ltro_jax.algorithms.update_rule import UpdateRule
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_actor
from ltro_jax.types import AgentBatch, AgentState, Array

N, T, B, OBSERVATION, ACTIONS = 3, 5, 4, 6, 3
KEY = jax.random.key(11)
TRACES = []  # grows with every trace of a program


def hypers(**settings):
    return jax.tree.map(np.float32, Hypers(actor_lr=3e-2, factor_clip=np.inf).replace(**settings))


def one(stack, index):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], stack)


def assert_trees_close(ours, theirs, **tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def measure(log_factor, weight, log_ratio, batch, hypers):
    """Raw factor before and after the agent, and the weight it used."""
    return {"before": jnp.exp(log_factor), "after": jnp.exp(log_factor + log_ratio), "weight": weight}


@lru_cache
def network(num_agents=N):
    return make_actor([OBSERVATION] * num_agents, [ACTIONS] * num_agents, True, (8,))


@lru_cache
def problem(num_agents=N):
    """Actors and a rollout of theirs; a fifth of the samples belong to dead agents."""
    generator, actor = np.random.default_rng(0), network(num_agents)
    shape = (num_agents, T, B)
    params = jax.jit(actor.init)(jax.random.key(0), hypers())
    observation = generator.normal(size=(*shape, OBSERVATION)).astype(np.float32)
    batch = AgentBatch(
        observation=observation,
        action=generator.integers(ACTIONS, size=shape).astype(np.int32),
        action_mask=np.ones((*shape, ACTIONS), bool),
        active_mask=generator.random(shape) < 0.8,
        log_prob=np.zeros(shape, np.float32),
        advantage=generator.normal(size=shape).astype(np.float32),
        observation_mask=None,
    )
    log_prob = jax.jit(jax.vmap(lambda p, b: policy(actor, p, b, hypers()).log_prob(b.action)))(params, batch)
    agents = AgentState(params, init_optimizer("adam", params))
    return jax.device_get((agents, batch.replace(log_prob=log_prob)))


@lru_cache
def program(num_agents=N, order="random", sequential=True, epochs=2, minibatches=2):
    static = Static(actor_epochs=epochs, actor_minibatches=minibatches, agent_order=order)
    rule = (HAPPO if sequential else MAPPO)(network(num_agents), static)

    def run(key, agents, batch, settings, explicit=None):
        TRACES.append(run)
        return sequential_update(key, agents, batch, settings, rule=rule, measure=measure, order=explicit)

    return jax.jit(run)


@lru_cache
def agent_programs():
    rule = HAPPO(network(), Static(actor_epochs=2, actor_minibatches=2))
    return jax.jit(update_of(rule)), jax.jit(rule.log_ratio)


def python_loop(key, order, settings, factor_clip):
    """The paper's loop, agent after agent, with the product itself carried."""
    agents, batch = problem()
    update, log_ratio = agent_programs()
    keys = jax.random.split(jax.random.split(key)[1], N)
    factor, updated, infos, factors = np.ones((T, B)), {}, {}, []
    for position, agent in enumerate(order):
        weight = np.minimum(factor, factor_clip).astype(np.float32)
        updated[agent], infos[agent] = update(keys[position], one(agents, agent), one(batch, agent), weight, settings)
        factors.append(factor)
        factor = factor * np.exp(np.array(log_ratio(updated[agent], one(batch, agent), settings), np.float64))
    stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *(trees[agent] for agent in range(N)))
    return stack(updated), stack(infos), np.stack(factors)


@pytest.mark.parametrize("factor_clip", [np.inf, 1.0, 0.9])
def test_the_scan_is_the_loop_over_agents(factor_clip):
    """`factor_clip = inf` is plain HAPPO: there the loop does not clamp at all."""
    settings = hypers(factor_clip=factor_clip)
    result = program()(KEY, *problem(), settings)
    order = np.array(result.agent_order)
    agents, infos, factors = python_loop(KEY, order, settings, factor_clip)
    np.testing.assert_allclose(result.measured["before"], factors, rtol=2e-4)
    np.testing.assert_allclose(result.measured["weight"], np.minimum(factors, factor_clip), rtol=2e-4)
    assert_trees_close(result.agents.params, agents.params, atol=2e-5)
    assert_trees_close(result.info, infos, rtol=1e-3, atol=1e-5)
    assert np.abs(factors[1:] - 1).max() > 0.05  # the agents did move


def test_the_clamp_acts_on_the_weight_never_on_the_product():
    result = program()(KEY, *problem(), hypers(factor_clip=1.0))
    before, after, weight = (np.array(result.measured[name]) for name in ("before", "after", "weight"))
    assert before.max() > 1.01
    np.testing.assert_allclose(weight, np.minimum(before, 1), rtol=1e-6)
    np.testing.assert_allclose(before[1:], after[:-1], rtol=1e-5)


def test_the_factor_is_the_product_of_the_ratios():
    """After position m: of the first m + 1 agents of the order, dead samples included."""
    agents, batch = problem()
    result = program()(KEY, agents, batch, hypers())
    log_ratios = jax.jit(jax.vmap(HAPPO(network(), Static()).log_ratio, (0, 0, None)))(result.agents, batch, hypers())
    ratios = np.exp(np.array(log_ratios, np.float64))[np.array(result.agent_order)]
    np.testing.assert_allclose(result.measured["after"], np.cumprod(ratios, axis=0), rtol=1e-4)
    np.testing.assert_array_equal(result.measured["before"][0], np.ones((T, B)))


def test_the_last_agent_matters_to_nobody_else():
    agents, batch = problem()
    run, order = program(minibatches=1), np.array([1, 2, 0])
    result = run(KEY, agents, batch, hypers(), order)
    other = run(
        KEY,
        agents,
        batch.replace(advantage=batch.advantage * np.array([-3, 1, 1], np.float32)[:, None, None]),
        hypers(),
        order,
    )
    for agent in (1, 2):
        assert_trees_close(one(result.agents, agent), one(other.agents, agent), rtol=0)
    assert any(
        np.any(a != b) for a, b in zip(*(jax.tree.leaves(one(r.agents, 0)) for r in (result, other)), strict=True)
    )


def test_one_agent_is_plain_ppo():
    agents, batch = problem(1)
    update = jax.jit(update_of(HAPPO(network(1), Static(actor_epochs=2, actor_minibatches=2))))
    key = jax.random.split(jax.random.split(KEY)[1], 1)[0]
    alone, _ = update(key, one(agents, 0), one(batch, 0), np.ones((T, B), np.float32), hypers())
    for factor_clip in (1.0, np.inf):
        result = program(1)(KEY, agents, batch, hypers(factor_clip=factor_clip))
        assert_trees_close(one(result.agents.params, 0), alone.params, atol=1e-6)


def test_without_epochs_nothing_moves_and_the_factor_stays_one():
    agents, batch = problem()
    result = program(epochs=0, minibatches=1)(KEY, agents, batch, hypers())
    np.testing.assert_allclose(result.measured["after"], np.ones((N, T, B)), rtol=1e-5)
    assert_trees_close(result.agents, agents, rtol=0)


def test_simultaneous_agents_have_weight_one_and_no_order():
    agents, batch = problem()
    result = program(sequential=False)(KEY, agents, batch, hypers(factor_clip=0.5))
    np.testing.assert_array_equal(result.agent_order, np.arange(N))
    np.testing.assert_array_equal(result.measured["weight"], np.ones((N, T, B)))
    assert np.abs(result.measured["before"][-1] - 1).max() > 0.05  # measured all the same
    update, keys = agent_programs()[0], jax.random.split(jax.random.split(KEY)[1], N)
    for agent in range(N):
        alone, _ = update(keys[agent], one(agents, agent), one(batch, agent), np.ones((T, B), np.float32), hypers())
        assert_trees_close(one(result.agents.params, agent), alone.params, atol=2e-5)


def test_dead_samples_teach_their_agent_nothing_but_stay_in_the_factor():
    agents, batch = problem()
    run, order = program(minibatches=1), np.array([2, 0, 1])
    dead = ~batch.active_mask[2]
    assert 0 < dead.sum() < dead.size
    changed = batch.replace(
        advantage=batch.advantage + np.array([0, 0, 5], np.float32)[:, None, None] * dead,
        log_prob=batch.log_prob - np.array([0, 0, 0.5], np.float32)[:, None, None] * dead,
    )
    result, other = (run(KEY, agents, samples, hypers(), order) for samples in (batch, changed))
    assert_trees_close(one(result.agents, 2), one(other.agents, 2), rtol=0)
    log_change = np.log(np.array(other.measured["before"][1])) - np.log(np.array(result.measured["before"][1]))
    np.testing.assert_allclose(log_change, np.where(dead, 0.5, 0), atol=1e-5)


# ---- order, with agents simple enough to see through


class Noted(NamedTuple):
    """The metrics of `Toy`."""

    number: Array


class Toy(UpdateRule):
    """The agent notes the mean weight and reports its number; its ratio is given."""

    def update(self, key, agent, batch, advantage, weight, position, hypers):
        return AgentState({"noted": jnp.mean(weight)}, agent.opt_state), Noted(advantage[0, 0])

    def log_ratio(self, agent, batch, hypers):
        return batch.log_prob


def toy(key, log_ratios, factor_clip=np.inf, order=None, rule=Toy, **settings):
    num_agents = len(log_ratios)
    shape = (num_agents, 1, 1)
    names = jnp.arange(num_agents, dtype=jnp.float32).reshape(shape)
    log_prob = jnp.asarray(log_ratios, jnp.float32).reshape(shape)
    batch = AgentBatch(names[..., None], names, jnp.ones((*shape, 1), bool), names > -1, log_prob, names, None)
    agents = AgentState({"noted": jnp.zeros(num_agents)}, ())
    rule, point = rule(network(), Static(**settings)), hypers(factor_clip=factor_clip)
    return sequential_update(key, agents, batch, point, rule=rule, measure=measure, order=order)


def test_results_come_back_in_agent_order_and_metrics_in_update_order():
    result = toy(KEY, np.log([2.0, 3.0, 5.0]), order=jnp.array([2, 0, 1]))
    np.testing.assert_array_equal(result.info.number, [0, 1, 2])
    np.testing.assert_allclose(result.agents.params["noted"], [5, 10, 1], rtol=1e-5)
    np.testing.assert_allclose(result.measured["before"].ravel(), [1, 5, 10], rtol=1e-5)
    np.testing.assert_array_equal(result.agent_order, [2, 0, 1])


def test_a_random_order_is_a_permutation_and_every_one_occurs():
    draw = jax.jit(jax.vmap(lambda key: toy(key, np.zeros(3)).agent_order))
    orders = np.array(draw(jax.random.split(jax.random.key(0), 200)))
    assert np.all(np.sort(orders, axis=1) == np.arange(3))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert counts.min() > 200 / 6 / 2


def test_a_fixed_order_is_the_identity():
    for key in jax.random.split(KEY, 3):
        np.testing.assert_array_equal(toy(key, np.zeros(4), agent_order="fixed").agent_order, np.arange(4))


def test_a_product_beyond_float32_comes_back():
    """exp(120) is infinite in float32; its logarithm is not, and neither the clamped weight nor the next product is."""
    result = toy(KEY, [60.0, 60.0, -120.0, 0.5], factor_clip=1.0, agent_order="fixed")
    np.testing.assert_array_equal(result.measured["weight"].ravel(), np.ones(4))
    np.testing.assert_allclose(result.measured["after"].ravel()[2:], [1, np.exp(0.5)], rtol=1e-5)


# ---- compilation


def test_hyper_parameters_do_not_recompile():
    cases = [
        (KEY, 1.0, 0.01, 0.2, np.arange(N)),
        (jax.random.key(5), np.inf, 0.5, 0.1, np.array([1, 0, 2])),
        (KEY, 0.5, 0.0, 0.3, np.array([2, 0, 1])),
    ]
    kernels, num_traces = [], []
    for key, clip, coefficient, eps, order in cases:
        settings = hypers(factor_clip=clip, ent_coef=coefficient, clip_eps=eps)
        result = program(minibatches=1)(key, *problem(), settings, order)
        kernels.append(result.agents.params["params"]["head"]["kernel"])
        num_traces.append(len(TRACES))
    assert num_traces[0] == num_traces[1] == num_traces[2]
    assert all(np.any(a != b) for a, b in pairwise(kernels))


def test_a_sweep_over_factor_clip_is_each_run_alone():
    clips, run = np.array([0.8, 1.0, np.inf], np.float32), program(minibatches=1)
    stacked = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (3,)), hypers()).replace(factor_clip=clips)
    order = np.arange(N)
    together = jax.jit(jax.vmap(lambda settings: run(KEY, *problem(), settings, order).agents.params))(stacked)
    for index, clip in enumerate(clips):
        alone = run(KEY, *problem(), hypers(factor_clip=clip), order).agents.params
        assert_trees_close(one(together, index), alone, atol=2e-5)
