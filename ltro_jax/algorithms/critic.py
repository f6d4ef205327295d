"""The critic update: clipped Huber regression on normalised return targets."""

from typing import NamedTuple

import jax
from jaxtyping import Float, Key

from ltro_jax.algorithms.minibatches import Rows, scan_minibatches, take_rows, training_samples
from ltro_jax.algorithms.optimizer import gradient_step
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import Critic
from ltro_jax.ops import clipped_value_loss, normalise, update_value_norm
from ltro_jax.types import Array, CriticBatch, CriticState, Params


class CriticInfo(NamedTuple):
    """Metrics of each of the G = K · M gradient steps, computed before the step."""

    value_loss: Float[Array, " G"]  # normalised units
    grad_norm: Float[Array, " G"]  # before clipping


def critic_update(
    key: Key[Array, ""], state: CriticState, batch: CriticBatch, critic: Critic, static: Static, hypers: Hypers
) -> tuple[CriticState, CriticInfo]:
    """Train one critic on its rollout for K epochs.

    Each minibatch step first updates the value normaliser with its targets, then regresses on the targets that the
    updated statistics normalise.

    Args:
        state: one critic, without the leading C.
        batch: leaves `[T, B, …]`.
    Source: Yu et al. 2022; published implementation of Le & Ta 2025.
    """
    samples = training_samples(batch, static.sequence_length)

    def step(state: CriticState, rows: Rows) -> tuple[CriticState, CriticInfo]:
        minibatch = take_rows(samples, rows)
        value_norm = update_value_norm(state.value_norm, minibatch.value_target)
        target = normalise(value_norm, minibatch.value_target)

        def loss(params: Params) -> Float[Array, ""]:
            value, _ = critic.unroll(params, minibatch.state, minibatch.hidden, minibatch.start, minibatch.state_mask)
            return clipped_value_loss(value, minibatch.value, target, hypers.clip_eps, hypers.huber_delta)

        value_loss, gradient = jax.value_and_grad(loss)(state.params)
        params, opt_state, norm = gradient_step(
            static.optimizer, state.params, state.opt_state, gradient, hypers.critic_lr, hypers
        )
        return CriticState(params, opt_state, value_norm), CriticInfo(value_loss, norm)

    num_samples = len(samples.value)
    return scan_minibatches(key, state, step, num_samples, static.critic_epochs, static.critic_minibatches)


def update_critics(
    key: Key[Array, ""], state: CriticState, batch: CriticBatch, critic: Critic, static: Static, hypers: Hypers
) -> tuple[CriticState, CriticInfo]:
    """Train each critic on its batch, in sequence, so that only one occupies memory.

    Args:
        state: leaves `[C, …]`.
        batch: leaves `[C, T, B, …]`.
    """
    keys = jax.random.split(key, batch.value.shape[0])

    def update(inputs: tuple[Array, CriticState, CriticBatch]) -> tuple[CriticState, CriticInfo]:
        return critic_update(*inputs, critic, static, hypers)

    return jax.lax.map(update, (keys, state, batch))
