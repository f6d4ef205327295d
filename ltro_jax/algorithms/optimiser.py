"""Adam after global-norm clipping, with every coefficient traced."""

from typing import Any

import jax
import optax

from ltro_jax.config import Hypers
from ltro_jax.ops import clip_by_global_norm
from ltro_jax.types import Array, Params


def init_adam(params: Params) -> Any:
    """Adam state of a parameter stack with leading axis P; the step count has that axis too."""
    return jax.vmap(optax.scale_by_adam().init)(params)


def adam_step(
    params: Params, opt_state: Any, gradient: Params, learning_rate: Array, hypers: Hypers
) -> tuple[Params, Any, Array]:
    """One descent step of one network.

    Args:
        gradient: of the loss to be minimised, as `params`.
    Returns:
        New parameters, new state, and the scalar gradient norm before clipping.
    Source: Kingma & Ba 2015; `max_grad_norm` and `adam_eps` of the published implementation.
    """
    gradient, norm = clip_by_global_norm(gradient, hypers.max_grad_norm)
    update, opt_state = optax.scale_by_adam(eps=hypers.adam_eps).update(gradient, opt_state)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, update), opt_state, norm
