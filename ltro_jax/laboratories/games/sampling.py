"""Fresh samples of the old policy, for comparison with the enumerated moments."""

from functools import partial

import jax
import jax.numpy as jnp

from ltro_jax.types import Array


@partial(jax.jit, static_argnames="num_samples")
def draw(key: Array, state_distribution: Array, log_joint: Array, num_samples: int) -> tuple[Array, Array]:
    """States s ~ d^π and joint actions a ~ π(·|s), independent of any policy fitted on other samples.

    `log_factor[m][state, action]` is log R of each sample. Each sample takes one uniform number, which is looked up in
    the cumulative distribution of the pair (s, a).

    Args:
        state_distribution: `[S]`; log_joint: `[S, J]`; num_samples: static.
    Returns:
        state `[K]` int and joint action `[K]` int.
    """
    cumulative = jnp.cumsum((state_distribution[:, None] * jnp.exp(log_joint)).ravel())
    place = jax.random.uniform(key, (num_samples,), cumulative.dtype) * cumulative[-1]
    pair = jnp.searchsorted(cumulative, place, side="right")  # right: a pair of probability 0 is never drawn
    return jnp.divmod(pair, log_joint.shape[1])
