"""Actors: body and head of one agent, as plain functions over parameter stacks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from ltro_jax.config import Hypers
from ltro_jax.distributions import Categorical, DiagonalGaussian, Distribution, gaussian_std
from ltro_jax.networks.body import Body
from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.types import Array, Params

HEAD_GAIN = 0.01


class ActorModule(nn.Module):
    """Body and head; returns the head's output and, for a Gaussian, the free vector `log_std`."""

    hidden_sizes: tuple[int, ...]
    action_size: int
    discrete: bool

    @nn.compact
    def __call__(self, observation: Array, observation_mask: Array | None) -> tuple[Array, Array | None]:
        features = Body(self.hidden_sizes, name="body")(observation, observation_mask)
        output = nn.Dense(self.action_size, name="head")(features)
        if self.discrete:
            return output, None
        return output, self.param("log_std", nn.initializers.zeros, (self.action_size,))


class Actor(NamedTuple):
    """One agent's policy as functions.

    init: `(key, hypers) → params`, leaves `[P, …]`.
    apply: `(params, observation […, O], hidden, action_mask […, A], observation_mask [O] or None, hypers)
        → (distribution over […], hidden)`, with the parameters of one agent.
    initial_hidden: `batch_shape → hidden`, `()` when feed-forward.
    """

    init: Callable[[Array, Hypers], Params]
    apply: Callable[[Params, Array, Any, Array, Array | None, Hypers], tuple[Distribution, Any]]
    initial_hidden: Callable[[tuple[int, ...]], Any]


def make_actor(
    observation_sizes: Sequence[int],
    action_sizes: Sequence[int],
    discrete: bool,
    hidden_sizes: tuple[int, ...],
) -> Actor:
    """Independent actors of N agents, padded to the widest.

    Args:
        observation_sizes, action_sizes: N true sizes.
        discrete: masked categorical if True, else diagonal Gaussian.
        hidden_sizes: widths of the body's layers.
    """
    module = ActorModule(hidden_sizes, max(action_sizes), discrete)
    example = jax.ShapeDtypeStruct((max(observation_sizes),), jnp.float32)

    def init(key: Array, hypers: Hypers) -> Params:
        template = jax.eval_shape(lambda k, x: module.init(k, x, None), key, example)
        params = initial_stack(key, template, observation_sizes, action_sizes, HEAD_GAIN)
        if not discrete:
            params["params"]["log_std"] = params["params"]["log_std"] + hypers.std_x_coef
        return params

    def apply(params, observation, hidden, action_mask, observation_mask, hypers):
        output, log_std = cast(tuple[Array, Array], module.apply(params, observation, observation_mask))
        if discrete:
            return Categorical.create(output, action_mask), hidden
        std = gaussian_std(log_std, hypers.std_x_coef, hypers.std_y_coef)
        return DiagonalGaussian(output, jnp.broadcast_to(std, output.shape), action_mask), hidden

    return Actor(init, apply, lambda batch_shape: ())


def apply_agents(
    actor: Actor,
    params: Params,
    observation: Array,
    hidden: Any,
    action_mask: Array,
    observation_mask: Array | None,
    hypers: Hypers,
) -> tuple[Distribution, Any]:
    """All agents at once, for acting.

    Args:
        params: leaves `[N, …]`.
        observation: `[…, N, O]` float32; `action_mask` `[…, N, A]`; `observation_mask` `[N, O]` or None.
        hidden: leaves `[…, N, H]`, or `()`.
    Returns:
        The distribution over `[…, N]` and the next hidden state.
    """
    agents = jax.vmap(actor.apply, in_axes=(0, -2, -2, -2, 0, None), out_axes=-2)
    return agents(params, observation, hidden, action_mask, observation_mask, hypers)
