"""Replay of `gae`, `value_norm` and `critic_update*`: returns, the value normaliser and the critic."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.critic import critic_update as update_critic
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.config import Static
from ltro_jax.networks import make_critic
from ltro_jax.ops import (
    denormalise,
    generalised_advantage,
    init_value_norm,
    normalise,
    update_value_norm,
    value_norm_moments,
)
from ltro_jax.ops.value_norm import BETA, VARIANCE_FLOOR
from ltro_jax.types import Array, CriticBatch, CriticState, ValueNorm
from replay.fixtures import DEBIAS_FLOOR, Fixture
from replay.parameters import hidden_sizes, input_size, one, to_flax, to_torch


def gae(fixture: Fixture, dtype) -> dict[str, Array]:
    def recompute(hypers, value_norm, reward, stored, stored_next, done, truncated):
        value, last_value = denormalise(value_norm, stored), denormalise(value_norm, stored_next)

        def estimate(value, last_value, truncated, gae_lambda=hypers.gae_lambda):
            next_value = jnp.concatenate([value[1:], last_value[None]])
            advantage = generalised_advantage(
                reward, value, next_value, done & ~truncated, truncated, hypers.gamma, gae_lambda, "mask"
            )
            return {"advantages": advantage[..., None], "returns": (advantage + value)[..., None]}

        variants = {
            "": estimate(value, last_value, truncated),
            "no_valuenorm.": estimate(stored, stored_next, truncated),
            "no_time_limits.": estimate(value, last_value, jnp.zeros_like(truncated)),
            # λ = 1 gives discounted returns; the reference forgets to denormalise the value after the last step
            "no_gae.": estimate(value, stored_next, truncated, gae_lambda=1.0),
        }
        return {prefix + name: array for prefix, arrays in variants.items() for name, array in arrays.items()}

    return jax.jit(recompute)(
        fixture.hypers(dtype),
        fixture.value_norm(dtype),
        fixture.squeezed("rewards", dtype),
        fixture.squeezed("value_preds", dtype),
        fixture.squeezed("next_value", dtype),
        ~fixture.flags("masks")[1:, ..., 0],
        ~fixture.flags("bad_masks")[1:, ..., 0],
    )


def value_norm(fixture: Fixture, dtype) -> dict[str, Array]:
    fixture.require(beta=BETA, epsilon=DEBIAS_FLOOR, min_variance=VARIANCE_FLOOR)

    def recompute(state, batches, probe):
        named = {
            "before_any_update.normalize_probe": normalise(state, probe),
            "before_any_update.denormalize_probe": denormalise(state, probe),
        }

        def step(state, batch):
            state = update_value_norm(state, batch)
            mean, variance = value_norm_moments(state)
            rows = {
                **biased_averages(state),
                "debiased_mean": mean[None],
                "debiased_var": variance[None],
                "normalize_probe": normalise(state, probe),
                "denormalize_probe": denormalise(state, probe),
                "normalize_batch": normalise(state, batch),
            }
            return state, rows

        return named | jax.lax.scan(step, state, batches)[1]

    before = jax.tree.map(lambda leaf: leaf.astype(dtype), init_value_norm())
    return jax.jit(recompute)(before, fixture.get("batches", dtype), fixture.get("probe", dtype))


def biased_averages(state: ValueNorm) -> dict[str, Array]:
    """The reference's form of the normaliser's state."""
    return {
        "running_mean": (state.mean * state.debias)[None],
        "running_mean_sq": ((state.variance + state.mean**2) * state.debias)[None],
        "debiasing_term": state.debias[None],
    }


def critic_update(fixture: Fixture, dtype) -> dict[str, np.ndarray]:
    """All epochs in one call for the losses and the last state; epoch by epoch for the states in between."""
    fixture.require(critic_num_mini_batch=1, value_loss_coef=1, use_clipped_value_loss=True, use_huber_loss=True)
    fixture.require(weight_decay=0, use_max_grad_norm=True, use_valuenorm=True)
    arrays, num_epochs = fixture.group("params"), fixture.settings["critic_epoch"]
    batch = CriticBatch(
        state=fixture.get("share_obs", dtype),  # type: ignore[arg-type]
        value=fixture.squeezed("value_preds", dtype),  # type: ignore[arg-type]
        value_target=fixture.squeezed("returns", dtype),  # type: ignore[arg-type]
        state_mask=None,
    )
    program = _critic_program(input_size(arrays), hidden_sizes(arrays), num_epochs)
    params = to_flax([arrays], dtype)
    info, states = jax.device_get(program(params, fixture.value_norm(dtype), batch, fixture.hypers(dtype)))
    named = {
        "value_loss_per_epoch": info.value_loss,
        "grad_norm_before_clip_per_epoch": info.grad_norm,
        "reported_mean_value_loss": np.mean(info.value_loss),
        "reported_mean_grad_norm": np.mean(info.grad_norm),
    }
    for epoch in range(num_epochs):
        state, prefix = one(states, epoch), f"epoch{epoch + 1}"
        named |= {f"{prefix}.params.{name}": leaf for name, leaf in to_torch(state.params, arrays).items()}
        named |= {f"{prefix}.value_norm.{name}": leaf for name, leaf in biased_averages(state.value_norm).items()}
    return named


@lru_cache
def _critic_program(state_size: int, sizes: tuple[int, ...], num_epochs: int):
    """Compiled once for files that differ only in numbers: infos of all epochs, and the state after each."""
    critic, key = make_critic([state_size], sizes), jax.random.key(0)
    all_epochs, one_epoch = Static(critic_epochs=num_epochs), Static(critic_epochs=1)

    def run(params, value_norm, batch, hypers):
        before = CriticState(one(params, 0), one(init_optimizer("adam", params), 0), value_norm)

        def step(state, _):
            state, _ = update_critic(key, state, batch, critic, one_epoch, hypers)
            return state, state

        _, states = jax.lax.scan(step, before, length=num_epochs - 1)
        last, info = update_critic(key, before, batch, critic, all_epochs, hypers)
        states = jax.tree.map(lambda rows, row: jnp.concatenate([rows, row[None]]), states, last)
        return info, states

    return jax.jit(run)
