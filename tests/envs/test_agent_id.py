"""Agents that see their own number."""

import jax
import jax.numpy as jnp
import numpy as np
from tasks import static_of

from ltro_jax.envs import make_env


def test_the_number_stands_before_the_observation():
    """Also before the padding of unlike agents, whose masks count entries from the front."""
    plain = make_env(static_of("probe/unlike", num_agents=3))
    numbered = make_env(static_of("probe/unlike", num_agents=3, agent_id=True))
    assert numbered.spec.observation_sizes == (6, 7, 8) and plain.spec.observation_sizes == (3, 4, 5)
    assert numbered.spec.state_size == plain.spec.state_size
    (plain_state, first), (numbered_state, numbered_first) = (env.reset(jax.random.key(0)) for env in (plain, numbered))
    action = jnp.array([0, 1, 1])
    _, second = plain.step(jax.random.key(1), plain_state, action)
    _, numbered_second = numbered.step(jax.random.key(1), numbered_state, action)
    for own, other in ((first, numbered_first), (second, numbered_second)):
        np.testing.assert_array_equal(other.observation[:, :3], np.eye(3))
        np.testing.assert_array_equal(other.observation[:, 3:], own.observation)
