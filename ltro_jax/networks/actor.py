"""Actors: body, optional memory and head of one agent, as plain functions of stacked parameters."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Key

from ltro_jax.config import Hypers
from ltro_jax.distributions import Categorical, DiagonalGaussian, Distribution, gaussian_std
from ltro_jax.networks.body import MLP
from ltro_jax.networks.features import BodyFactory, features, initial_hidden_of, make_modules
from ltro_jax.networks.initialisers import initial_stack
from ltro_jax.networks.recurrent import Core
from ltro_jax.types import Array, Hidden, Params

HEAD_GAIN = 0.01


class ActorModule(nn.Module):
    """Body, optional memory and head; returns the head's output, the vector `log_std` of a Gaussian, and hidden."""

    body: nn.Module
    action_size: int
    discrete: bool
    core: Core | None = None
    layer_norm: bool = True

    preserve_adopted_names: ClassVar[bool] = True  # flax: a core keeps the name of its class

    @nn.compact
    def __call__(
        self,
        observation: Float[Array, "*batch O"],
        hidden: Hidden,
        start: Bool[Array, "*batch"] | None,
        observation_mask: Bool[Array, "*#batch O"] | None,
    ) -> tuple[Float[Array, "*batch A"], Float[Array, " A"] | None, Hidden]:
        x, after = features(self.body, self.core, observation, hidden, start, observation_mask, self.layer_norm)
        output = nn.Dense(self.action_size, name="head")(x)
        if self.discrete:
            return output, None, after
        return output, self.param("log_std", nn.initializers.zeros, (self.action_size,)), after


class Actor(NamedTuple):
    """The policy of one agent as functions of the parameters of one agent.

    A hidden state is any pytree; its leaves are `[…, H]` for a `GRU` and may have further axes for other cores.

    init: `(key, hypers) → params` of P actors, leaves `[P, …]`.
    apply: one step, `(params, observation […, O], hidden […, H], action_mask […, A], observation_mask, hypers)
        → (distribution over […], hidden […, H])`; `observation_mask` is True where an entry of the observation exists,
        None = everywhere.
    unroll: a batch of samples, `(params, observation, hidden, start, action_mask, observation_mask, hypers)
        → distribution`. Feed-forward: samples `[…, O]` in any order. Recurrent: sequences `[…, L, O]` that begin with
        `hidden` `[…, H]`; an episode starts where `start` `[…, L]` is True.
    initial_hidden: `batch_shape → hidden` `[…, H]`, `()` when feed-forward.
    recurrent: whether the actor has a memory.
    groups: index of the parameters of each of the N agents where several, but not all, have the same; else None.
    """

    init: Callable[[Array, Hypers], Params]
    apply: Callable[[Params, Array, Hidden, Array, Array | None, Hypers], tuple[Distribution, Hidden]]
    unroll: Callable[[Params, Array, Hidden, Array | None, Array, Array | None, Hypers], Distribution]
    initial_hidden: Callable[[tuple[int, ...]], Hidden]
    recurrent: bool
    groups: tuple[int, ...] | None = None


def make_actor(
    observation_sizes: Sequence[int],
    action_sizes: Sequence[int],
    discrete: bool,
    hidden_sizes: tuple[int, ...],
    core: type[Core] | None = None,
    layer_norm: bool = True,
    body: BodyFactory = MLP,
) -> Actor:
    """P actors, padded to the widest: one for each agent with its true sizes, or one that all agents share.

    Args:
        observation_sizes, action_sizes: the true sizes of the P actors.
        discrete: masked categorical if True, diagonal Gaussian otherwise.
        hidden_sizes: widths of the body's layers; a memory is as wide as the last one.
        core: class of the memory after the body, such as `recurrent.GRU`; None = feed-forward.
        layer_norm: whether to use LayerNorm on the input, after each layer of an `MLP` and after the memory.
        body: makes the body from `hidden_sizes`; see `features.BodyFactory`.
    """
    modules = make_modules(body, core, hidden_sizes, layer_norm)
    module = ActorModule(modules.body, max(action_sizes), discrete, modules.core, layer_norm)
    initial_hidden = initial_hidden_of(modules.core)
    width = max(observation_sizes)

    def init(key: Key[Array, ""], hypers: Hypers) -> Params:
        def init_one(key: Array) -> Params:
            return module.init(key, jnp.zeros((1, width)), initial_hidden(()), jnp.zeros(1, bool), None)

        params = initial_stack(key, init_one, observation_sizes, action_sizes, HEAD_GAIN, modules.custom)
        if not discrete:
            params["params"]["log_std"] = params["params"]["log_std"] + hypers.std_x_coef
        return params

    def distribution(
        params: Params,
        observation: Array,
        hidden: Hidden,
        start: Array | None,
        action_mask: Array,
        observation_mask: Array | None,
        hypers: Hypers,
    ) -> tuple[Distribution, Hidden]:
        outputs = module.apply(params, observation, hidden, start, observation_mask)
        output, log_std, after = cast(tuple[Array, Array, Hidden], outputs)
        if discrete:
            return Categorical.create(output, action_mask), after
        std = gaussian_std(log_std, hypers.std_x_coef, hypers.std_y_coef)
        return DiagonalGaussian(output, jnp.broadcast_to(std, output.shape), action_mask), after

    def unroll(*arguments):
        return distribution(*arguments)[0]

    def apply(
        params: Params,
        observation: Float[Array, "*batch O"],
        hidden: Hidden,
        action_mask: Bool[Array, "*batch A"],
        observation_mask: Bool[Array, "*#batch O"] | None,
        hypers: Hypers,
    ) -> tuple[Distribution, Hidden]:
        if core is None:
            return distribution(params, observation, hidden, None, action_mask, observation_mask, hypers)
        start = jnp.zeros((*observation.shape[:-1], 1), bool)
        mask = None if observation_mask is None else jnp.expand_dims(observation_mask, -2)
        sequence = (observation[..., None, :], hidden, start, action_mask[..., None, :], mask)  # of one step
        result, after = distribution(params, *sequence, hypers)
        only_step = (*[slice(None)] * (observation.ndim - 1), 0)
        return jax.tree.map(lambda leaf: leaf[only_step], (result, after))

    return Actor(init, apply, unroll, initial_hidden, core is not None)


def apply_agents(
    actor: Actor,
    params: Params,
    observation: Float[Array, "*batch N O"],
    hidden: Hidden,
    action_mask: Bool[Array, "*batch N A"],
    observation_mask: Bool[Array, "N O"] | None,
    hypers: Hypers,
) -> tuple[Distribution, Hidden]:
    """One step of all agents at once.

    Args:
        params: leaves `[N, …]`, `[1, …]` if all agents share them, or `[P, …]` in the order of `actor.groups`.
        hidden: leaves `[…, N, H]`, or `()`.
    Returns:
        The distribution over `[…, N]`, and the next hidden state.
    """
    num_actors, num_agents = jax.tree.leaves(params)[0].shape[0], observation.shape[-2]
    if num_actors == 1:
        shared = jax.tree.map(lambda leaf: leaf[0], params)
        return actor.apply(shared, observation, hidden, action_mask, observation_mask, hypers)
    if num_actors < num_agents:
        params = jax.tree.map(lambda leaf: leaf[jnp.asarray(actor.groups)], params)
    axis = observation.ndim - 2
    agents = jax.vmap(actor.apply, in_axes=(0, axis, axis, axis, 0, None), out_axes=axis)
    return agents(params, observation, hidden, action_mask, observation_mask, hypers)
