"""Initial parameters: orthogonal at the true sizes, padding apart, and no hanging when many are drawn at once."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from ltro_jax.config import Hypers
from ltro_jax.networks import make_actor, make_critic

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = (8, 6)
OBSERVATIONS, ACTIONS = (5, 9, 7), (4, 2, 3)


@lru_cache
def actor_init(observation_sizes, action_sizes, discrete):
    return jax.jit(make_actor(observation_sizes, action_sizes, discrete, HIDDEN).init)


def actor_leaves(observation_sizes, action_sizes, discrete=True, seed=0):
    params = actor_init(observation_sizes, action_sizes, discrete)(jax.random.key(seed), Hypers())
    return {"/".join(path): np.array(leaf) for path, leaf in flatten_dict(params["params"]).items()}


def assert_orthogonal(kernel, gain):
    """Rows or columns, whichever are fewer, are orthogonal and of length `gain`."""
    rows, columns = kernel.shape
    gram = kernel.T @ kernel if rows >= columns else kernel @ kernel.T
    np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-5 * max(gain**2, 1))


@pytest.mark.parametrize("sizes", [(OBSERVATIONS, ACTIONS), ((9, 9), (4, 4))])
def test_kernels_are_orthogonal_at_the_true_size_and_zero_in_the_padding(sizes):
    observation_sizes, action_sizes = sizes
    leaves = actor_leaves(observation_sizes, action_sizes)
    for agent, (observation_size, action_size) in enumerate(zip(observation_sizes, action_sizes, strict=True)):
        first, second, head = (leaves[f"{name}/kernel"][agent] for name in ("body/dense_0", "body/dense_1", "head"))
        assert_orthogonal(first[:observation_size], np.sqrt(2))
        assert np.all(first[observation_size:] == 0)
        assert_orthogonal(second, np.sqrt(2))
        np.testing.assert_allclose(np.linalg.norm(head[:, :action_size], axis=0), 0.01, rtol=1e-5)
        np.testing.assert_allclose(
            head[:, :action_size].T @ head[:, :action_size], 1e-4 * np.eye(action_size), atol=1e-9
        )
        assert np.all(head[:, action_size:] == 0)


def test_other_parameters():
    leaves = actor_leaves(OBSERVATIONS, ACTIONS, discrete=False)
    assert {len(leaf) for leaf in leaves.values()} == {3}
    for name, leaf in leaves.items():
        if name.endswith("bias"):
            assert np.all(leaf == 0)
        elif name.endswith("scale"):
            assert np.all(leaf == 1)
    np.testing.assert_array_equal(leaves["log_std"], np.ones((3, 4)))


def test_log_std_starts_at_std_x_coef():
    actor = make_actor([3], [2], False, HIDDEN)
    params = actor.init(jax.random.key(0), Hypers(std_x_coef=2.5))
    np.testing.assert_array_equal(params["params"]["log_std"], np.full((1, 2), 2.5))
    policy, _ = actor.apply(
        jax.tree.map(lambda x: x[0], params), np.zeros(3), (), np.ones(2, bool), None, Hypers(std_x_coef=2.5)
    )
    np.testing.assert_allclose(policy.std, 0.5 / (1 + np.exp(-1)), rtol=1e-6)


def test_agents_layers_and_seeds_differ():
    leaves = actor_leaves((8, 8), (6, 6))
    hidden, other = leaves["body/dense_0/kernel"], actor_leaves((8, 8), (6, 6), seed=1)["body/dense_0/kernel"]
    kernels = [*hidden, *other]
    distances = [np.abs(a - b).max() for i, a in enumerate(kernels) for b in kernels[:i]]
    assert min(distances) > 0.1
    square = jax.jit(make_critic([8], (8, 8)).init)(jax.random.key(0))["params"]["body"]
    assert np.abs(square["dense_0"]["kernel"] - square["dense_1"]["kernel"]).max() > 0.1


@pytest.mark.parametrize("agent", range(3))
def test_an_agent_is_drawn_alike_among_others_of_any_size(agent):
    """Agent p of a padded stack equals agent p of an unpadded stack; agent 0 also equals a stack of one agent."""
    padded = actor_leaves(OBSERVATIONS, ACTIONS)
    num_alike = agent + 1
    alike = actor_leaves((OBSERVATIONS[agent],) * num_alike, (ACTIONS[agent],) * num_alike)
    for name, leaf in alike.items():
        own = leaf[agent]
        np.testing.assert_allclose(padded[name][agent][tuple(map(slice, own.shape))], own, atol=1e-6)


def test_critics():
    central = jax.jit(make_critic([12], HIDDEN).init)(jax.random.key(0))["params"]
    assert central["head"]["kernel"].shape == (1, 6, 1)
    np.testing.assert_allclose(np.linalg.norm(central["head"]["kernel"]), 1.0, rtol=1e-5)
    local = jax.jit(make_critic(OBSERVATIONS, HIDDEN).init)(jax.random.key(0))["params"]
    for critic, size in enumerate(OBSERVATIONS):
        kernel = np.array(local["body"]["dense_0"]["kernel"][critic])
        assert_orthogonal(kernel[:size], np.sqrt(2))
        assert np.all(kernel[size:] == 0)


MANY_SEEDS = """
import jax
from ltro_jax.config import Hypers
from ltro_jax.networks import make_actor, make_critic, wait_for

for sizes in ((18, 18, 18), (18, 16, 14)):
    actor, critic = make_actor(sizes, (5, 5, 5), False, (24, 20, 16)), make_critic([30], (24, 20, 16))

    def init(seed):
        actor_key, critic_key = jax.random.split(jax.random.key(seed))
        params = actor.init(actor_key, Hypers())
        return params, critic.init(wait_for(params, critic_key))

    leaves = jax.tree.leaves(jax.jit(jax.vmap(init))(jax.numpy.arange(64)))
    assert all(len(leaf) == 64 and bool(jax.numpy.all(jax.numpy.isfinite(leaf))) for leaf in leaves)
print("done")
"""


def test_64_members_initialise_at_once():
    """Batched QRs of one program can exhaust XLA's threads on a CPU and never return: use a separate process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    outcome = subprocess.run(
        [sys.executable, "-c", MANY_SEEDS],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip() == "done"
