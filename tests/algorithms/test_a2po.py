"""A2PO: the corrected advantage by hand, what cuts its trace, the widening clip, and whole rounds."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOperatorIssue=false

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms import Position, sequential_update
from ltro_jax.algorithms.a2po import A2PO
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.ppo import HAPPO
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_actor
from ltro_jax.networks.recurrent import GRU
from ltro_jax.ops import clipped_surrogate, generalised_advantage, standardise
from ltro_jax.types import AgentBatch, AgentState, TeamBatch

N, T, B, OBSERVATION, ACTIONS, WIDTH = 3, 6, 4, 5, 3, 8


def hypers(**settings):
    return jax.tree.map(np.float32, Hypers(actor_lr=1e-2, factor_clip=np.inf).replace(**settings))


def at(index, num_agents=N):
    return Position(jnp.asarray(index, jnp.int32), num_agents)


@lru_cache
def network(recurrent=False):
    return make_actor([OBSERVATION] * N, [ACTIONS] * N, True, (WIDTH,), GRU if recurrent else None)


def a2po(**settings):
    return A2PO(network(settings.get("recurrent", False)), Static(factor_rule="two_sided", **settings))


def value_batch(reward, value, next_value, terminated, truncated, mask=None):
    """What an advantage is computed from, `[T, B]`."""
    nothing = dict.fromkeys(("observation", "action", "action_mask", "log_prob", "advantage"))
    active_mask = jnp.ones(np.shape(reward), bool) if mask is None else mask
    team = TeamBatch(reward, terminated, truncated)
    return AgentBatch(**nothing, active_mask=active_mask, value=value, next_value=next_value, team=team)


def column(*values):
    return jnp.array(values, jnp.float32)[:, None]


def three_steps(terminated=(0, 0, 0), truncated=(0, 0, 0)):
    """δ = 1, 2, 4 where nothing ends: all values are 0."""
    zeros = column(0.0, 0.0, 0.0)
    return value_batch(column(1.0, 2.0, 4.0), zeros, zeros, column(*terminated) > 0, column(*truncated) > 0)


HALVES = dict(gamma=0.5, gae_lambda=0.5, trace_clip=1.0)  # γλ = 1/4: every number is exact


def corrected(batch, factor, index=1, truncation="bootstrap", **settings):
    rule = a2po(truncation=truncation)
    values = hypers(**(HALVES | settings))
    return np.array(rule.corrected_advantage(jnp.log(factor), batch, at(index), values))[:, 0]


# ---- the corrected advantage


def test_the_trace_by_hand():
    """A_2 = 4;  A_1 = 2 + 1/4 · min(1, 8) · 4 = 3;  A_0 = 1 + 1/4 · 1/2 · 3 = 1.375."""
    np.testing.assert_allclose(corrected(three_steps(), column(2.0, 0.5, 8.0)), [1.375, 3, 4], rtol=1e-6)


def test_the_ratio_at_a_step_weighs_the_step_before_and_not_its_own():
    reference = corrected(three_steps(), column(0.5, 0.5, 0.5))
    np.testing.assert_array_equal(corrected(three_steps(), column(1e-3, 0.5, 0.5)), reference)
    later = corrected(three_steps(), column(0.5, 0.5, 0.25))
    np.testing.assert_array_equal(later[2], reference[2])
    np.testing.assert_allclose(later[1], 2 + 0.25 * 0.25 * 4, rtol=1e-6)


@pytest.mark.parametrize("trace_clip", [0.5, 1.0, 2.0])
def test_the_clamp_of_the_trace(trace_clip):
    factor = column(1.0, 1.0, 1.5)
    expected = 2 + 0.25 * min(1.5, trace_clip) * 4
    np.testing.assert_allclose(corrected(three_steps(), factor, trace_clip=trace_clip)[1], expected, rtol=1e-6)


def test_the_first_agent_gets_the_plain_estimate():
    """Whatever the clamp: with c̄ = 1/2 and R = 1 its trace is still 1."""
    plain = [1 + 0.25 * 3, 2 + 0.25 * 4, 4]
    first = corrected(three_steps(), column(1.0, 1.0, 1.0), index=0, trace_clip=0.5)
    np.testing.assert_allclose(first, plain, rtol=1e-6)
    second = corrected(three_steps(), column(1.0, 1.0, 1.0), index=1, trace_clip=0.5)
    assert second[0] < first[0] and second[1] < first[1] and second[2] == first[2]


def test_a_termination_cuts_the_trace():
    np.testing.assert_allclose(
        corrected(three_steps(terminated=(0, 1, 0)), column(1.0, 0.5, 9.0)), [1 + 0.25 * 0.5 * 2, 2, 4], rtol=1e-6
    )


@pytest.mark.parametrize("truncation, expected", [("bootstrap", [1.25, 2, 4]), ("mask", [1, 0, 4])])
def test_a_time_limit_cuts_the_trace(truncation, expected):
    """Masked, the advantage of the truncated step itself is 0."""
    batch = three_steps(truncated=(0, 1, 0))
    np.testing.assert_allclose(corrected(batch, column(1.0, 0.5, 9.0), truncation=truncation), expected, rtol=1e-6)


def random_rollout(seed=0):
    generator = np.random.default_rng(seed)
    reward, value, next_value, log_factor = generator.normal(size=(4, T, B)).astype(np.float32)
    terminated, truncated = generator.random((2, T, B)) < 0.2
    mask = generator.random((T, B)) < 0.7
    return value_batch(reward, value, next_value, terminated, truncated, mask), log_factor


@pytest.mark.parametrize("truncation", ["bootstrap", "mask"])
def test_ratio_1_is_the_generalised_advantage_estimate(truncation):
    batch, log_factor = random_rollout()
    settings, team = hypers(trace_clip=np.inf), batch.team
    inputs = (team.reward, batch.value, batch.next_value, team.terminated, team.truncated)
    plain = generalised_advantage(*inputs, settings.gamma, settings.gae_lambda, truncation)
    rule = a2po(truncation=truncation)
    for index in range(N):
        estimate = rule.corrected_advantage(np.zeros_like(log_factor), batch, at(index), settings)
        np.testing.assert_array_equal(estimate, plain)
    moved = np.abs(rule.corrected_advantage(log_factor, batch, at(1), settings) - plain)
    assert moved.max() > 0.1


def test_dead_samples_do_not_count_in_the_standardisation():
    batch, log_factor = random_rollout()
    rule, settings = a2po(), hypers()
    raw = np.array(rule.corrected_advantage(log_factor, batch, at(2), settings))
    advantage = np.array(rule.advantage(log_factor, batch, at(2), settings))
    alive = np.array(batch.active_mask)
    np.testing.assert_allclose(advantage[alive].mean(), 0.0, atol=1e-5)
    np.testing.assert_allclose(advantage[alive].std(), 1.0, rtol=1e-3)
    np.testing.assert_allclose(advantage, (raw - raw[alive].mean()) / (raw[alive].std() + 1e-5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("log_factor", [200.0, 1e4, -1e4])
def test_an_overflowing_factor_leaves_the_advantage_finite(log_factor):
    batch, _ = random_rollout()
    assert np.all(np.isfinite(a2po().advantage(jnp.full((T, B), log_factor), batch, at(1), hypers())))


# ---- the clip


def test_the_clip_grows_linearly_to_its_full_width():
    """ε (w (p + 1) / N + 1 − w) with ε = 0.2 and w = 1/2: from 2/3 of ε on in equal steps."""
    widths = [float(a2po().clip_eps(at(index), hypers(clip_eps=0.2, clip_eps_slope=0.5))) for index in range(N)]
    np.testing.assert_allclose(widths, [0.2 * 4 / 6, 0.2 * 5 / 6, 0.2], rtol=1e-6)
    constant = [float(a2po().clip_eps(at(index), hypers(clip_eps=0.3, clip_eps_slope=0.0))) for index in range(N)]
    np.testing.assert_allclose(constant, [0.3] * N, rtol=1e-6)


def test_the_clip_acts_on_the_joint_ratio():
    """r · w = 1.1 · 1.1 = 1.21 exceeds 1 + ε = 1.2, which neither of them does."""
    ratio, weight, mask = jnp.array([1.1]), jnp.array([1.1]), jnp.array([True])
    settings = hypers(clip_eps=0.2, clip_eps_slope=0.0)
    for advantage, expected in [(2.0, 2.4), (-2.0, -2.42)]:
        arguments = (ratio, jnp.array([advantage]), weight, mask, at(1), settings)
        np.testing.assert_allclose(a2po().surrogate(*arguments), expected, rtol=1e-6)
    slope = jax.grad(lambda r: a2po().surrogate(r, jnp.array([2.0]), weight, mask, at(1), settings))(ratio)
    np.testing.assert_array_equal(slope, [0.0])
    no_gradient = jax.grad(lambda w: a2po().surrogate(ratio, jnp.array([-2.0]), w, mask, at(1), settings))(weight)
    np.testing.assert_array_equal(no_gradient, [0.0])


def test_weight_1_is_the_surrogate_of_ppo():
    generator = np.random.default_rng(3)
    ratio = np.exp(generator.normal(size=50) / 4).astype(np.float32)
    advantage, mask = generator.normal(size=50).astype(np.float32), generator.random(50) < 0.6
    ones, settings = np.ones(50, np.float32), hypers(clip_eps_slope=0.0)
    np.testing.assert_allclose(
        a2po().surrogate(ratio, advantage, ones, mask, at(0), settings),
        clipped_surrogate(ratio, advantage, ones, settings.clip_eps, mask),
        rtol=1e-6,
    )


# ---- whole rounds


@lru_cache
def problem(recurrent=False):
    """Agents and a rollout of theirs, with dead agents and ends of episodes."""
    generator, actor = np.random.default_rng(0), network(recurrent)
    params = jax.jit(actor.init)(jax.random.key(0), hypers())
    shape = (N, T, B)
    shared, _ = random_rollout(1)
    spread = lambda x: np.broadcast_to(x, shape)
    batch = AgentBatch(
        observation=generator.normal(size=(*shape, OBSERVATION)).astype(np.float32),
        action=generator.integers(ACTIONS, size=shape).astype(np.int32),
        action_mask=np.ones((*shape, ACTIONS), bool),
        active_mask=generator.random(shape) < 0.8,
        log_prob=np.zeros(shape, np.float32),
        advantage=generator.normal(size=shape).astype(np.float32),
        hidden=np.zeros((*shape, WIDTH), np.float32) if recurrent else (),
        start=generator.random(shape) < 0.2 if recurrent else None,
        value=spread(shared.value),
        next_value=spread(shared.next_value),
        critic_output=spread(shared.value),
        team=shared.team,
    )
    agents = AgentState(params, init_optimizer("adam", params))
    log_ratio = jax.jit(jax.vmap(a2po(recurrent=recurrent).log_ratio, in_axes=(0, 0, None)))
    log_prob = log_ratio(agents, batch.replace(team=None), hypers())
    return jax.device_get((agents, batch.replace(log_prob=log_prob)))


def measure(log_factor, weight, log_ratio, batch, hypers):
    return {"factor": jnp.exp(log_factor), "weight": weight, "advantage": batch.advantage}


@lru_cache
def round_of(kind, order=(2, 0, 1), recurrent=False):
    static = Static(factor_rule="two_sided", actor_epochs=3, recurrent=recurrent, chunk_length=3)
    rule = kind(network(recurrent), static)

    def run(agents, batch, settings):
        given = jnp.array(order)
        return sequential_update(jax.random.key(4), agents, batch, settings, rule=rule, measure=measure, order=given)

    return jax.jit(run)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_round(recurrent):
    """Each agent learns from the advantage of the factor before it, and its samples weigh the clipped factor."""
    agents, batch = problem(recurrent)
    settings = hypers(trace_clip=0.9, factor_eps=0.05)
    result = jax.device_get(round_of(A2PO, recurrent=recurrent)(agents, batch, settings))
    factor, weight, advantage = (result.measured[name] for name in ("factor", "weight", "advantage"))
    np.testing.assert_array_equal(result.agent_order, [2, 0, 1])
    np.testing.assert_allclose(weight, np.clip(factor, 0.95, 1.05), rtol=1e-5)
    assert np.abs(factor[2] - 1).max() > 0.05
    for place, agent in enumerate(result.agent_order):
        expected = a2po().advantage(np.log(factor[place]), batch.of_agent(agent), at(place), settings)
        np.testing.assert_allclose(advantage[place], expected, rtol=1e-3, atol=1e-4)
    assert np.abs(advantage[0] - advantage[2])[batch.active_mask[2]].max() > 0.01
    moved = jax.tree.map(lambda new, old: np.abs(new - old).max(), result.agents.params, agents.params)
    assert 0 < max(jax.tree.leaves(moved)) < 0.05
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(result.agents))


def test_the_first_agent_of_a_round_learns_as_in_happo():
    """With equal clips and the plain estimate as advantage; the later agents do not."""
    agents, batch = problem()
    team, settings = batch.team, hypers(clip_eps_slope=0.0)
    inputs = (team.reward, batch.value[0], batch.next_value[0], team.terminated, team.truncated)
    plain = generalised_advantage(*inputs, settings.gamma, settings.gae_lambda)
    standardised = np.stack([standardise(plain, mask) for mask in batch.active_mask])
    ours = jax.device_get(round_of(A2PO)(agents, batch, settings))
    happo = jax.device_get(round_of(HAPPO)(agents, batch.replace(advantage=standardised), settings))
    difference = lambda agent: max(
        np.abs(one[agent] - other[agent]).max()
        for one, other in zip(jax.tree.leaves(ours.agents.params), jax.tree.leaves(happo.agents.params), strict=True)
    )
    assert difference(2) < 1e-5
    assert difference(1) > 1e-4


def test_an_agent_that_is_never_alive_stays_as_it_is():
    agents, batch = problem()
    alive = batch.active_mask.copy()
    alive[0] = False
    result = jax.device_get(round_of(A2PO)(agents, batch.replace(active_mask=alive), hypers()))
    for new, old in zip(jax.tree.leaves(result.agents.params), jax.tree.leaves(agents.params), strict=True):
        np.testing.assert_array_equal(new[0], old[0])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((result.agents, result.info)))
