"""The critic update: clipped Huber regression on normalised return targets."""

from typing import NamedTuple

import jax

from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, take, training_samples
from ltro_jax.algorithms.optimizer import gradient_step
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
    samples = training_samples(batch, static.sequence_length)

    def step(state: CriticState, rows: Rows) -> tuple[CriticState, CriticInfo]:
        own = take(samples, rows)
        value_norm = update_value_norm(state.value_norm, own.value_target)
        target = normalise(value_norm, own.value_target)

        def loss(params):
            value, _ = critic.unroll(params, own.state, own.hidden, own.start, own.state_mask)
            return clipped_value_loss(value, own.value, target, hypers.clip_eps, hypers.huber_delta)

        value_loss, gradient = jax.value_and_grad(loss)(state.params)
        params, opt_state, norm = gradient_step(
            static.optimizer, state.params, state.opt_state, gradient, hypers.critic_lr, hypers
        )
        return CriticState(params, opt_state, value_norm), CriticInfo(value_loss, norm)

    num_samples = len(samples.value)
    return scan_minibatches(key, state, step, num_samples, static.critic_epochs, static.critic_minibatches)


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
