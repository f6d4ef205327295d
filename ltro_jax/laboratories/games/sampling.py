"""Fresh samples of the old policy, against which the enumerated moments can be held."""

from functools import partial

import jax
import jax.numpy as jnp

from ltro_jax.types import Array


@partial(jax.jit, static_argnames="num_samples")
def draw(key: Array, state_distribution: Array, log_joint: Array, num_samples: int) -> tuple[Array, Array]:
    """States s ~ d^π and joint actions a ~ π(·|s), independent of any policy fitted on other samples.

    `log_factor[m][state, action]` is then log R of each sample. One uniform number per sample, looked up in the
    cumulative distribution of the pair (s, a).

    Args:
        state_distribution: `[S]`; log_joint: `[S, J]`; num_samples: static.
    Returns:
        state `[K]` int and joint action `[K]` int.
    """
    cumulative = jnp.cumsum((state_distribution[:, None] * jnp.exp(log_joint)).ravel())
    place = jax.random.uniform(key, (num_samples,), cumulative.dtype) * cumulative[-1]
    pair = jnp.searchsorted(cumulative, place, side="right")  # right: a pair of probability 0 is never drawn
    return jnp.divmod(pair, log_joint.shape[1])
