"""Stepping with resets: the true outcome is shown, and a new episode is a fresh reset."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_close
from tasks import task_param

from ltro_jax.config import Static
from ltro_jax.envs import make_env, step_and_reset

CASES = [
    Static(task="probe/matching", episode_length=4),
    Static(task="probe/endless", episode_length=3),
    Static(task="mpe/simple_speaker_listener", episode_length=5),
    Static(task="smax/3m", episode_length=3),
    Static(task="swimmer/10x2", episode_length=3),
    task_param("mabrax/ant_4x2", Static(task="mabrax/ant_4x2", episode_length=3), slow=True),
]


def at(tree: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.mark.parametrize("static", CASES, ids=lambda static: static.task)
def test_against_plain_steps_and_resets(static):
    env = make_env(static)
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    length = env.spec.episode_length
    num_steps = 2 * length + 1
    step_keys, reset_keys = jax.random.split(jax.random.key(1), (2, num_steps))
    action = jnp.full((env.spec.num_agents,), 1, jnp.int32)
    if not env.spec.discrete:
        action = jnp.linspace(0, 1, env.spec.num_agents * env.spec.action_size).reshape(env.spec.num_agents, -1)

    def body(env_state: Any, keys: Any) -> tuple[Any, Any]:
        one = jax.tree.map(lambda leaf: leaf[None], (*keys, env_state, action))
        env_state, timestep, outcome = jax.tree.map(lambda leaf: leaf[0], step_and_reset(env, *one))
        return env_state, (env_state, timestep, outcome)

    env_state, timestep = reset(jax.random.key(0))
    _, played = jax.jit(lambda state: jax.lax.scan(body, state, (step_keys, reset_keys)))(env_state)
    starts = []
    for index in range(num_steps):
        env_state, timestep = step(step_keys[index], env_state, action)
        after_state, after, outcome = at(played, index)
        assert_close(outcome, timestep)
        assert bool(timestep.done) == ((index + 1) % length == 0)
        if timestep.done:
            env_state, timestep = reset(reset_keys[index])
            starts.append(np.asarray(timestep.state))
            assert not after.done
        assert_close((after_state, after), (env_state, timestep))
    assert len(starts) == 2


def test_only_the_environments_that_need_it_are_reset():
    """A batch in which the episodes of some are over, more than fit into one group; the others go on."""
    env = make_env(Static(task="probe/endless", episode_length=5))
    keys = jax.random.split(jax.random.key(3), 16)
    env_states, _ = jax.vmap(env.reset)(keys)
    over = np.array([index % 3 == 0 for index in range(16)])
    env_states = (jnp.where(over, 4, jnp.arange(16) % 4), env_states[1])
    reset_keys = jax.random.split(jax.random.key(4), 16)
    run = jax.jit(lambda *inputs: step_and_reset(env, *inputs))
    (count, symbol), timestep, outcome = run(keys, reset_keys, env_states, jnp.zeros((16, 2), jnp.int32))
    np.testing.assert_array_equal(outcome.done, over)
    np.testing.assert_array_equal(count, np.where(over, 0, env_states[0] + 1))
    fresh = jax.vmap(env.reset)(reset_keys)[0][1]
    np.testing.assert_array_equal(symbol, np.where(over, fresh, env_states[1]))
    assert not timestep.done.any() and len(np.unique(np.asarray(symbol)[over])) > 1
