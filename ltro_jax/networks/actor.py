"""Actors: body and head of one agent, as plain functions over parameter stacks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from ltro_jax.config import Hypers
from ltro_jax.distributions import Categorical, DiagonalGaussian, Distribution, gaussian_std
from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.networks.recurrent import features, make_initial_hidden
from ltro_jax.types import Array, Params

HEAD_GAIN = 0.01


class ActorModule(nn.Module):
    """Body, memory if any, and head; returns its output, for a Gaussian the free vector `log_std`, and hidden."""

    hidden_sizes: tuple[int, ...]
    action_size: int
    discrete: bool
    core: type[nn.Module] | None = None
    layer_norm: bool = True

    @nn.compact
    def __call__(
        self, observation: Array, hidden: Any, start: Array | None, observation_mask: Array | None
    ) -> tuple[Array, Array | None, Any]:
        x, after = features(observation, hidden, start, observation_mask, self.hidden_sizes, self.core, self.layer_norm)
        output = nn.Dense(self.action_size, name="head")(x)
        if self.discrete:
            return output, None, after
        return output, self.param("log_std", nn.initializers.zeros, (self.action_size,)), after


class Actor(NamedTuple):
    """One agent's policy as functions, with the parameters of one agent.

    init: `(key, hypers) → params`, leaves `[P, …]`.
    apply: one step, `(params, observation […, O], hidden, action_mask […, A], observation_mask or None, hypers)
        → (distribution over […], hidden)`; `observation_mask` is bool, broadcastable to the observation.
    unroll: a batch of samples, `(params, observation, hidden, start, action_mask, observation_mask, hypers)
        → distribution`. Feed-forward samples are `[…, O]`, in any order. Recurrent ones are sequences `[…, L, O]` that
        set out from `hidden` `[…, H]`; where `start` `[…, L]` is True an episode starts.
    initial_hidden: `batch_shape → hidden` `[…, H]`, `()` when feed-forward.
    recurrent: whether it has a memory.
    """

    init: Callable[[Array, Hypers], Params]
    apply: Callable[[Params, Array, Any, Array, Array | None, Hypers], tuple[Distribution, Any]]
    unroll: Callable[[Params, Array, Any, Array | None, Array, Array | None, Hypers], Distribution]
    initial_hidden: Callable[[tuple[int, ...]], Any]
    recurrent: bool


def make_actor(
    observation_sizes: Sequence[int],
    action_sizes: Sequence[int],
    discrete: bool,
    hidden_sizes: tuple[int, ...],
    core: type[nn.Module] | None = None,
    layer_norm: bool = True,
) -> Actor:
    """P actors, padded to the widest: independent ones with their own sizes, or one with the size that all share.

    Args:
        observation_sizes, action_sizes: P true sizes.
        discrete: masked categorical if True, else diagonal Gaussian.
        hidden_sizes: widths of the body's layers.
        core: memory after the body, `recurrent.GRU`; None = feed-forward.
        layer_norm: LayerNorm of the input and after each layer; False = none.
    """
    module = ActorModule(hidden_sizes, max(action_sizes), discrete, core, layer_norm)
    initial_hidden = make_initial_hidden(hidden_sizes[-1], core)
    width = max(observation_sizes)

    def init(key: Array, hypers: Hypers) -> Params:
        template = jax.eval_shape(
            lambda k: module.init(k, jnp.zeros((1, width)), initial_hidden(()), jnp.zeros(1, bool), None), key
        )
        params = initial_stack(key, template, observation_sizes, action_sizes, HEAD_GAIN)
        if not discrete:
            params["params"]["log_std"] = params["params"]["log_std"] + hypers.std_x_coef
        return params

    def distribution(params, observation, hidden, start, action_mask, observation_mask, hypers):
        outputs = module.apply(params, observation, hidden, start, observation_mask)
        output, log_std, after = cast(tuple[Array, Array, Any], outputs)
        if discrete:
            return Categorical.create(output, action_mask), after
        std = gaussian_std(log_std, hypers.std_x_coef, hypers.std_y_coef)
        return DiagonalGaussian(output, jnp.broadcast_to(std, output.shape), action_mask), after

    def unroll(*arguments):
        return distribution(*arguments)[0]

    def apply(params, observation, hidden, action_mask, observation_mask, hypers):
        if core is None:
            return distribution(params, observation, hidden, None, action_mask, observation_mask, hypers)
        start = jnp.zeros((*observation.shape[:-1], 1), bool)
        mask = None if observation_mask is None else jnp.expand_dims(observation_mask, -2)
        sequence = (observation[..., None, :], hidden, start, action_mask[..., None, :], mask)  # of one step
        result, after = distribution(params, *sequence, hypers)
        return jax.tree.map(lambda leaf: leaf[..., 0, :], (result, after))

    return Actor(init, apply, unroll, initial_hidden, core is not None)


def apply_agents(
    actor: Actor,
    params: Params,
    observation: Float[Array, "*batch N O"],
    hidden: Any,
    action_mask: Bool[Array, "*batch N A"],
    observation_mask: Bool[Array, "N O"] | None,
    hypers: Hypers,
) -> tuple[Distribution, Any]:
    """All agents at once, for acting.

    Args:
        params: leaves `[N, …]`, or `[1, …]` where all agents share them.
        hidden: leaves `[…, N, H]`, or `()`.
    Returns:
        The distribution over `[…, N]` and the next hidden state.
    """
    if jax.tree.leaves(params)[0].shape[0] == 1:
        shared = jax.tree.map(lambda leaf: leaf[0], params)
        return actor.apply(shared, observation, hidden, action_mask, observation_mask, hypers)
    agents = jax.vmap(actor.apply, in_axes=(0, -2, -2, -2, 0, None), out_axes=-2)
    return agents(params, observation, hidden, action_mask, observation_mask, hypers)
