"""The optimizer of actors and critics: optax, with every coefficient traced.

The optimizer sees a network as one flat vector. A step is then a few long array operations instead of a dozen short
ones for each layer; it runs faster and compiles in a fraction of the time. The reported norm is the norm that clips.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from ltro_jax.config import Hypers
from ltro_jax.ops import bounded
from ltro_jax.types import Array, Params, Scalar

# setting `optimizer` → (learning rate, hypers) → transformation of a clipped gradient
OPTIMIZERS: dict[str, Callable[[Scalar, Hypers], optax.GradientTransformation]] = {
    "adam": lambda rate, hypers: optax.adam(rate, eps=hypers.adam_eps),
    "adamw": lambda rate, hypers: optax.adamw(rate, eps=hypers.adam_eps, weight_decay=hypers.weight_decay),
    "rmsprop": lambda rate, hypers: optax.rmsprop(rate, eps=hypers.adam_eps),
    "sgd": lambda rate, hypers: optax.sgd(rate),
}


def make_optimizer(name: str, learning_rate: Scalar, hypers: Hypers) -> optax.GradientTransformation:
    """Clip by the global norm, then apply the optimizer `name`.

    Args:
        name: a key of `OPTIMIZERS`.
        learning_rate: traced.
        hypers: reads `max_grad_norm`, `adam_eps` and `weight_decay`.
    Source: Kingma & Ba 2015 (adam); Loshchilov & Hutter 2019 (adamw); Hinton 2012 (rmsprop).
    """
    clip = optax.clip_by_global_norm(hypers.max_grad_norm)
    return optax.chain(clip, OPTIMIZERS[name](learning_rate, hypers))


def init_optimizer(name: str, params: Params) -> Any:
    """Initial optimizer state of a parameter stack; leaves `[P, …]`, as those of `params`."""
    return jax.vmap(lambda network: make_optimizer(name, 0.0, Hypers()).init(ravel_pytree(network)[0]))(params)


def gradient_step(
    name: str, params: Params, state: Any, gradient: Params, learning_rate: Scalar, hypers: Hypers
) -> tuple[Params, Any, Float[Array, ""]]:
    """Take one descent step of one network.

    Args:
        name: a key of `OPTIMIZERS`.
        state: from `init_optimizer`, without the leading P.
        gradient: of the loss to be minimised, in the form of `params`.
    Returns:
        The new parameters, the new state, and the gradient norm before clipping.
    """
    flat, unravel = ravel_pytree(gradient)
    flat = bounded(flat)
    updates, state = make_optimizer(name, learning_rate, hypers).update(flat, state, ravel_pytree(params)[0])
    return optax.apply_updates(params, unravel(cast(Array, updates))), state, optax.tree.norm(flat)
