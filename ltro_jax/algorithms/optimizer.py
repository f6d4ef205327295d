"""The optimizer of actors and critics: optax, with every coefficient traced.

A network is one flat vector here: a step is a handful of long array operations instead of a dozen short ones for each
layer, which runs faster and compiles in a fraction of the time, and the norm that is reported is the one that clips.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import optax
from jax.flatten_util import ravel_pytree

from ltro_jax.config import Hypers
from ltro_jax.ops import bounded
from ltro_jax.types import Array, Params

# setting `optimizer` → (learning rate, hypers) → transformation of a gradient that is already clipped
OPTIMIZERS: dict[str, Callable[[Array | float, Hypers], optax.GradientTransformation]] = {
    "adam": lambda rate, hypers: optax.adam(rate, eps=hypers.adam_eps),
    "adamw": lambda rate, hypers: optax.adamw(rate, eps=hypers.adam_eps, weight_decay=hypers.weight_decay),
    "rmsprop": lambda rate, hypers: optax.rmsprop(rate, eps=hypers.adam_eps),
    "sgd": lambda rate, hypers: optax.sgd(rate),
}


def make_optimizer(name: str, learning_rate: Array | float, hypers: Hypers) -> optax.GradientTransformation:
    """Clipping by the global norm, then the optimizer `name`.

    Args:
        name: a key of `OPTIMIZERS`.
        learning_rate: scalar, traced.
        hypers: reads `max_grad_norm`, `adam_eps` and `weight_decay`.
    Source: Kingma & Ba 2015 (adam); Loshchilov & Hutter 2019 (adamw); Hinton 2012 (rmsprop).
    """
    clip = optax.clip_by_global_norm(hypers.max_grad_norm)
    return optax.chain(clip, OPTIMIZERS[name](learning_rate, hypers))


def init_optimizer(name: str, params: Params) -> Any:
    """State of a parameter stack with leading axis P before the first step; leaves `[P, …]`."""
    return jax.vmap(lambda network: make_optimizer(name, 0.0, Hypers()).init(ravel_pytree(network)[0]))(params)


def gradient_step(
    name: str, params: Params, state: Any, gradient: Params, learning_rate: Array | float, hypers: Hypers
) -> tuple[Params, Any, Array]:
    """One descent step of one network.

    Args:
        name: as in `make_optimizer`.
        state: of `init_optimizer`, without the leading P.
        gradient: of the loss to be minimised, as `params`.
    Returns:
        New parameters, new state, and the scalar gradient norm before clipping.
    """
    flat, unravel = ravel_pytree(gradient)
    flat = bounded(flat)
    updates, state = make_optimizer(name, learning_rate, hypers).update(flat, state, ravel_pytree(params)[0])
    return optax.apply_updates(params, unravel(cast(Array, updates))), state, optax.tree.norm(flat)
