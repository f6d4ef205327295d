"""Initial states: many seeds at once on two cores, each seed's own and the same alone or in a sweep."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from comparing import assert_close, assert_same_bits

from ltro_jax import make_train

SIXTY_FOUR_SEEDS = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # the thread pool of XLA is as large as this
import jax, jax.numpy as jnp
from ltro_jax import load_preset, make_train
config = load_preset("mpe/simple_spread")
assert config.static.hidden_sizes == (128, 128) and config.static.num_envs == 20
init = jax.jit(jax.vmap(make_train(config).init, in_axes=(0, None)))
states = jax.block_until_ready(init(jnp.arange(64, dtype=jnp.uint32), config.hypers))
kernels = states.agents.params["params"]["body"]["dense_1"]["kernel"]
assert kernels.shape == (64, 3, 128, 128)
products = jnp.einsum("snij,snkj->snik", kernels, kernels)
assert jnp.allclose(products, 2 * jnp.eye(128), atol=1e-3)
"""


def test_sixty_four_seeds_at_once_on_two_cores():
    """On a small thread pool, concurrent decompositions may never return."""
    done = subprocess.run([sys.executable, "-c", SIXTY_FOUR_SEEDS], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


def test_a_seed_is_the_same_alone_and_among_others(tiny):
    config = tiny(num_agents=3)
    train = make_train(config)
    many = jax.jit(jax.vmap(train.init, in_axes=(0, None)))(jnp.array([3, 7, 11], jnp.uint32), config.hypers)
    alone = jax.jit(train.init)(7, config.hypers)
    seventh = jax.tree.map(lambda leaf: leaf[1], many)
    exact = ("iteration", "train_key", "eval_key", "env_state", "timestep", "tally", "failed_at")
    for name in exact:
        assert_same_bits(getattr(seventh, name), getattr(alone, name))
    assert_close(seventh, alone)
    third = jax.tree.map(lambda leaf: leaf[0], many)
    assert (jax.random.key_data(third.train_key) != jax.random.key_data(alone.train_key)).any()
    kernels = [state.agents.params["params"]["body"]["dense_0"]["kernel"] for state in (third, seventh)]
    assert (kernels[0] != kernels[1]).all()
    agents = np.asarray(kernels[1])
    assert (agents[0] != agents[1]).all() and (agents[1] != agents[2]).all()


def test_large_seeds_differ(tiny):
    config = tiny()
    init = jax.jit(make_train(config).init)
    keys = [jax.random.key_data(init(jnp.uint32(seed), config.hypers).train_key) for seed in (0, 2**31, 2**32 - 1)]
    assert len({tuple(np.asarray(key)) for key in keys}) == 3
