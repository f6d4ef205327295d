"""The critic update: clipped Huber regression on normalised return targets."""

from typing import NamedTuple

import jax

from ltro_jax.algorithms.minibatches import scan_minibatches
from ltro_jax.algorithms.optimiser import adam_step
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import Critic
from ltro_jax.ops import clipped_value_loss, normalise, update_value_norm
from ltro_jax.types import Array, CriticBatch, CriticState


class CriticInfo(NamedTuple):
    """One row per gradient step, `[K · M]` float32, each before the step it describes."""

    value_loss: Array  # normalised units
    grad_norm: Array  # before clipping


def critic_update(
    key: Array, state: CriticState, batch: CriticBatch, critic: Critic, static: Static, hypers: Hypers
) -> tuple[CriticState, CriticInfo]:
    """K epochs over one critic's rollout.

    Every minibatch step first takes its targets into the value normaliser, then regresses on the targets normalised by
    the updated statistics.

    Args:
        state: one critic, without the leading C.
        batch: leaves `[T, B, …]`.
    Source: Yu et al. 2022; published implementation of Le & Ta 2025.
    """
    samples = (batch.state, batch.value, batch.value_target)
    samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), samples)  # [T, B, …] → [T·B, …]

    def step(state: CriticState, minibatch: tuple[Array, Array, Array]) -> tuple[CriticState, CriticInfo]:
        inputs, old_value, target = minibatch
        value_norm = update_value_norm(state.value_norm, target)
        target = normalise(value_norm, target)

        def loss(params):
            value = critic.apply(params, inputs, batch.state_mask)
            return clipped_value_loss(value, old_value, target, hypers.clip_eps, hypers.huber_delta)

        value_loss, gradient = jax.value_and_grad(loss)(state.params)
        params, opt_state, norm = adam_step(state.params, state.opt_state, gradient, hypers.critic_lr, hypers)
        return CriticState(params, opt_state, value_norm), CriticInfo(value_loss, norm)

    return scan_minibatches(key, state, samples, step, static.critic_epochs, static.critic_minibatches)


def update_critics(
    key: Array, state: CriticState, batch: CriticBatch, critic: Critic, static: Static, hypers: Hypers
) -> tuple[CriticState, CriticInfo]:
    """Every critic on its own batch, one after another (memory of one).

    Args:
        state: leaves `[C, …]`.
        batch: leaves `[C, T, B, …]`.
    """
    keys = jax.random.split(key, batch.value.shape[0])

    def one(inputs: tuple[Array, CriticState, CriticBatch]) -> tuple[CriticState, CriticInfo]:
        one_key, one_state, one_batch = inputs
        return critic_update(one_key, one_state, one_batch, critic, static, hypers)

    return jax.lax.map(one, (keys, state, batch))
