"""Actors and critics: what the body computes, and that padding changes nothing."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportCallIssue=false

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules import update_of

from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.ppo import HAPPO
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import apply_agents, make_actor, make_critic
from ltro_jax.networks.body import MLP
from ltro_jax.types import AgentBatch, AgentState

HIDDEN = (8, 6)
OBSERVATIONS, ACTIONS = (5, 9, 7), (4, 2, 3)  # every agent is padded, in observations or in actions
WIDTH, CHOICES = max(OBSERVATIONS), max(ACTIONS)
HYPERS = jax.tree.map(np.float32, Hypers(actor_lr=1e-2))


def one(stack, index):
    return jax.tree.map(lambda leaf: leaf[index], stack)


def shaken(params, seed=0):
    """Parameters away from their initial values, zero wherever they were: padding stays as it is."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf * generator.uniform(0.5, 1.5, leaf.shape).astype(np.float32), params)


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def test_body_by_hand():
    """LayerNorm, then Dense → ReLU → LayerNorm per layer (initial scales and biases: 1 and 0)."""
    x = np.random.default_rng(0).normal(3.0, 2.0, (4, 5)).astype(np.float32)
    params = jax.jit(MLP(HIDDEN).init)(jax.random.key(0), x, None)
    expected = layer_norm(x)
    for index in range(2):
        kernel = np.array(params["params"][f"dense_{index}"]["kernel"])
        expected = layer_norm(np.maximum(expected @ kernel, 0))
    np.testing.assert_allclose(MLP(HIDDEN).apply(params, x, None), expected, atol=1e-4)


def test_body_without_layer_norm_is_a_plain_perceptron():
    x = np.random.default_rng(0).normal(3.0, 2.0, (4, 5)).astype(np.float32)
    body = MLP(HIDDEN, layer_norm=False)
    params = jax.jit(body.init)(jax.random.key(0), x, None)
    layers = params["params"]
    assert sorted(layers) == ["dense_0", "dense_1"]
    expected = x * (np.arange(5) < 4)  # the last entry does not exist
    for index in range(2):
        expected = np.maximum(expected @ np.array(layers[f"dense_{index}"]["kernel"]), 0)
    np.testing.assert_allclose(body.apply(params, x, np.arange(5) < 4), expected, atol=1e-5)


def test_layer_norm_counts_only_entries_that_exist():
    """Whatever stands in the padding: the features are those of the true entries, and it has no gradient."""
    x = np.random.default_rng(1).normal(2.0, 1.0, (4, 5)).astype(np.float32)
    body = MLP(HIDDEN)
    params = shaken(jax.device_get(jax.jit(body.init)(jax.random.key(0), x, None)))
    features = body.apply(params, x, None)
    wide = np.concatenate([x, np.full((4, 3), 50.0, np.float32)], axis=-1)
    padded = jax.tree.map(jnp.asarray, params)
    padded["params"]["input_norm"] = {
        name: jnp.concatenate([leaf, jnp.full(3, 9.0)]) for name, leaf in params["params"]["input_norm"].items()
    }
    kernel = params["params"]["dense_0"]["kernel"]
    padded["params"]["dense_0"] = params["params"]["dense_0"] | {"kernel": jnp.concatenate([kernel, jnp.ones((3, 8))])}
    mask = np.arange(8) < 5
    np.testing.assert_allclose(body.apply(padded, wide, mask), features, rtol=1e-5, atol=1e-5)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(body.apply(p, wide, mask)))))(padded)["params"]
    assert np.all(gradient["input_norm"]["scale"][5:] == 0)
    assert np.all(gradient["input_norm"]["bias"][5:] == 0)
    assert np.all(gradient["dense_0"]["kernel"][5:] == 0)
    assert np.any(gradient["dense_0"]["kernel"][:5] != 0)


def agent_batch(agent, discrete, padded, seed=0, shape=(4, 3)):
    """One agent's samples, at its true widths or at the widest; the padding of observations holds rubbish."""
    generator = np.random.default_rng(seed)
    observation_size, action_size = OBSERVATIONS[agent], ACTIONS[agent]
    observation = generator.normal(size=(*shape, observation_size)).astype(np.float32)
    available = generator.random((*shape, action_size)) < 0.7
    available[..., 0] = True
    action = generator.normal(size=(*shape, action_size)).astype(np.float32)
    if discrete:
        action = np.argmax(generator.random(available.shape) * available, axis=-1).astype(np.int32)
    else:
        available[:] = True
    log_prob, advantage = generator.normal(-1.2, 0.1, shape), generator.normal(size=shape)
    active = generator.random(shape) < 0.8
    if padded:
        end = [(0, 0)] * len(shape)
        observation = np.pad(observation, [*end, (0, WIDTH - observation_size)], constant_values=7.0)
        available = np.pad(available, [*end, (0, CHOICES - action_size)])
        action = action if discrete else np.pad(action, [*end, (0, CHOICES - action_size)], constant_values=3.0)
    return AgentBatch(
        observation=observation,
        action=action,
        action_mask=available,
        active_mask=active,
        log_prob=log_prob.astype(np.float32),
        advantage=advantage.astype(np.float32),
        observation_mask=np.broadcast_to(np.arange(WIDTH) < observation_size, observation.shape) if padded else None,
    )


@lru_cache
def program(observation_sizes, action_sizes, discrete):
    """Draw a stack, take one agent: initial parameters, metrics on its batch, parameters after two PPO epochs."""
    actor = make_actor(observation_sizes, action_sizes, discrete, HIDDEN)
    update = update_of(HAPPO(actor, Static(actor_epochs=2)))

    def run(key, agent, batch):
        params = actor.init(key, HYPERS)
        state = AgentState(one(params, agent), one(init_optimizer("adam", params), agent))
        policy, _ = actor.apply(state.params, batch.observation, (), batch.action_mask, batch.observation_mask, HYPERS)
        after, info = update(key, state, batch, jnp.abs(batch.advantage), HYPERS)
        return state.params, policy.log_prob(batch.action), policy.entropy(), info, after.params

    return jax.jit(run)


@pytest.mark.parametrize("agent, discrete", [(0, True), (1, True), (2, False)])
def test_a_padded_agent_is_the_agent_alone(agent, discrete):
    """Initial parameters, log-probabilities, entropy, loss, gradient norm and two steps of PPO."""
    key, num_alike = jax.random.key(3), agent + 1
    padded = program(OBSERVATIONS, ACTIONS, discrete)(key, agent, agent_batch(agent, discrete, padded=True))
    own_sizes = (OBSERVATIONS[agent],) * num_alike, (ACTIONS[agent],) * num_alike
    alone = program(*own_sizes, discrete)(key, agent, agent_batch(agent, discrete, padded=False))
    wide, *wide_figures, wide_after = jax.device_get(padded)
    own, *own_figures, own_after = jax.device_get(alone)
    for ours, theirs in zip(jax.tree.leaves(wide_figures), jax.tree.leaves(own_figures), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)
    for before, after in ((wide, own), (wide_after, own_after)):
        for ours, theirs in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            np.testing.assert_allclose(ours[tuple(map(slice, theirs.shape))], theirs, rtol=1e-4, atol=1e-5)
    for before, after, theirs in zip(*map(jax.tree.leaves, (wide, wide_after, own)), strict=True):
        moved = np.array(before != after)
        moved[tuple(map(slice, theirs.shape))] = False
        assert not np.any(moved)  # the padding stays bitwise as it was


@pytest.mark.parametrize("discrete", [True, False])
def test_all_agents_at_once_are_each_agent_alone(discrete):
    actor = make_actor(OBSERVATIONS, ACTIONS, discrete, HIDDEN)
    params = shaken(jax.device_get(jax.jit(actor.init)(jax.random.key(0), HYPERS)))
    batches = [agent_batch(agent, discrete, padded=True, seed=agent) for agent in range(3)]
    observation, mask = (np.stack([getattr(b, x) for b in batches], 2) for x in ("observation", "action_mask"))
    action = np.stack([batch.action for batch in batches], 2)
    observation_mask = jnp.arange(WIDTH)[None] < jnp.array(OBSERVATIONS)[:, None]

    def together_of(params, observation, mask, action):
        policy, hidden = apply_agents(actor, params, observation, (), mask, observation_mask, HYPERS)
        assert hidden == () == actor.initial_hidden((4,))
        return policy.log_prob(action)

    @jax.jit
    def alone_of(params, batch):
        policy, _ = actor.apply(params, batch.observation, (), batch.action_mask, batch.observation_mask, HYPERS)
        return policy.log_prob(batch.action)

    together = jax.jit(together_of)(params, observation, mask, action)
    assert together.shape == (4, 3, 3)
    for agent, batch in enumerate(batches):
        alone = alone_of(one(params, agent), batch)
        np.testing.assert_allclose(together[:, :, agent], alone, rtol=1e-5, atol=1e-5)


def test_local_critics_are_each_critic_alone():
    critic = make_critic(OBSERVATIONS, HIDDEN)
    params = shaken(jax.device_get(jax.jit(critic.init)(jax.random.key(0))))
    state = np.random.default_rng(0).normal(size=(3, 4, 2, WIDTH)).astype(np.float32)
    mask = np.arange(WIDTH) < np.array(OBSERVATIONS)[:, None]
    together = jax.jit(jax.vmap(lambda p, x, m: critic.unroll(p, x, (), None, m)[0]))(params, state, mask)
    assert together.shape == (3, 4, 2)
    for index, size in enumerate(OBSERVATIONS):
        alone = make_critic([size], HIDDEN)
        template = jax.eval_shape(lambda alone=alone: one(alone.init(jax.random.key(0)), 0))
        own = jax.tree.map(lambda leaf, like: leaf[tuple(map(slice, like.shape))], one(params, index), template)
        value, _ = jax.jit(alone.unroll)(own, state[index][..., :size], (), None, None)
        np.testing.assert_allclose(together[index], value, rtol=1e-5, atol=1e-5)
