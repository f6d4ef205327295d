"""Probe games with known answers are learned by the whole trainer, by every algorithm."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax import Config, make_train

SEEDS = jnp.arange(2, dtype=jnp.uint32)
SETTINGS = {
    "num_envs": 32,
    "rollout_length": 4,
    "hidden_sizes": (16,),
    "actor_lr": 0.01,
    "critic_lr": 0.01,
    "ent_coef": 0.0,
    "eval_episodes": 64,
}


def greedy_return(task: str, algorithm: str, iterations: int = 60) -> np.ndarray:
    """Greedy evaluation of each seed after training, as one jitted, vmapped program of the pure functions."""
    config = Config.from_dict(SETTINGS | {"task": task, "algorithm": algorithm})
    train = make_train(config)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def learn(seed, hypers):
        state = train.init(seed, hypers)
        state = jax.lax.fori_loop(0, iterations, lambda _, state: train.iterate(state, hypers)[0], state)
        return train.evaluate(state, hypers)["eval_return_greedy"], state.failed_at

    hypers = jax.tree.map(jnp.float32, config.hypers)
    result, failed_at = learn(SEEDS, hypers)
    assert (failed_at == -1).all()
    return np.asarray(result)


@pytest.mark.parametrize("algorithm", ["clip_happo", "happo", "mappo", "ippo"])
def test_matching(algorithm):
    assert greedy_return("probe/matching", algorithm).min() > 0.99


@pytest.mark.parametrize("algorithm", ["clip_happo", "ippo"])
def test_continuous_target(algorithm):
    assert greedy_return("probe/target", algorithm).min() > -1e-3


@pytest.mark.parametrize("algorithm", ["happo", "ippo"])
def test_agents_of_unlike_sizes(algorithm):
    assert greedy_return("probe/unlike", algorithm).min() > 0.99


def test_climbing_reaches_the_safe_equilibrium():
    """Random play loses 0.31; the best answer to an explorer is 6/11 and then the equilibrium 7/11.

    The optimum, 1, lies behind a penalty that only a joint deviation avoids.
    """
    assert greedy_return("probe/climbing", "clip_happo", 200).min() > 0.54


def test_values_go_on_beyond_the_time_limit(tiny: Callable[..., Config]):
    """V = 1 / (1 − γ): the time limit of 10 steps cuts the episode, not the value."""
    config = tiny(
        task="probe/endless",
        algorithm="mappo",
        episode_length=10,
        num_envs=16,
        critic_lr=0.01,
        critic_epochs=10,
        actor_epochs=0,
        gamma=0.9,
        eval_episodes=0,
    )
    train = make_train(config)

    @jax.jit
    def learn(seed):
        state = train.init(seed, config.hypers)
        return jax.lax.scan(lambda state, _: train.iterate(state, config.hypers), state, length=30)

    state, metrics = learn(0)
    np.testing.assert_allclose(metrics.scalar["value_target"][-3:], 10.0, rtol=0.02)
    assert metrics.scalar["value_target"][0] < 8.0
    ended = metrics.scalar["episodes"] > 0
    np.testing.assert_array_equal(metrics.scalar["episode_length"], jnp.where(ended, 10.0, 0.0))
    assert state.iteration == 30 and metrics.scalar["finite"].all()
