"""Fresh samples of the old policy, against which the enumerated moments can be held."""

import jax
import jax.numpy as jnp

from ltro_jax.types import Array


def draw(key: Array, state_distribution: Array, log_joint: Array, num_samples: int) -> tuple[Array, Array]:
    """States s ~ d^π and joint actions a ~ π(·|s), independent of any policy fitted on other samples.

    `log_factor[m][state, action]` is then log R of each sample.

    Args:
        state_distribution: `[S]`; log_joint: `[S, J]`; num_samples: static.
    Returns:
        state `[K]` int and joint action `[K]` int.
    """
    state_key, action_key = jax.random.split(key)
    state = jax.random.categorical(state_key, jnp.log(state_distribution), shape=(num_samples,))
    return state, jax.random.categorical(action_key, log_joint[state])
