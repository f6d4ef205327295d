"""Replay of `gae`, `value_norm` and `critic_update*`: returns, the value normaliser and the critic."""

from functools import lru_cache

import jax
import jax.numpy as jnp

from ltro_jax.algorithms.critic import critic_update as update_critic
from ltro_jax.algorithms.optimiser import init_adam
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
from ltro_jax.ops.value_norm import BETA, DEBIAS_FLOOR, VARIANCE_FLOOR
from ltro_jax.types import Array, CriticBatch, CriticState
from replay.fixtures import Fixture
from replay.parameters import hidden_sizes, input_size, one, to_flax, to_torch


def gae(fixture: Fixture, dtype) -> dict[str, Array]:
    hypers, value_norm = fixture.hypers(dtype), fixture.value_norm(dtype)
    reward = fixture.squeezed("rewards", dtype)
    stored, stored_next = fixture.squeezed("value_preds", dtype), fixture.squeezed("next_value", dtype)
    value, last_value = denormalise(value_norm, stored), denormalise(value_norm, stored_next)
    done = ~fixture.flag("masks")[1:]
    truncated = done & ~fixture.flag("bad_masks")[1:]
    never = jnp.zeros_like(done)

    def estimate(value, last_value, truncated, gae_lambda=hypers.gae_lambda):
        next_value = jnp.concatenate([value[1:], last_value[None]])
        advantage = generalised_advantage(
            reward, value, next_value, done & ~truncated, truncated, hypers.gamma, gae_lambda, "mask"
        )
        return {"advantages": advantage[..., None], "returns": (advantage + value)[..., None]}

    variants = {
        "": estimate(value, last_value, truncated),
        "no_valuenorm.": estimate(stored, stored_next, truncated),
        "no_time_limits.": estimate(value, last_value, never),
        # λ = 1 gives discounted returns; the reference forgets to denormalise the value after the last step
        "no_gae.": estimate(value, stored_next, truncated, gae_lambda=1.0),
    }
    return {prefix + name: array for prefix, arrays in variants.items() for name, array in arrays.items()}


def value_norm(fixture: Fixture, dtype) -> dict[str, Array]:
    fixture.require(beta=BETA, epsilon=DEBIAS_FLOOR, min_variance=VARIANCE_FLOOR)
    batches, probe = fixture.get("batches", dtype), fixture.get("probe", dtype)
    state = jax.tree.map(lambda leaf: leaf.astype(dtype), init_value_norm())
    named = {
        "before_any_update.normalize_probe": normalise(state, probe),
        "before_any_update.denormalize_probe": denormalise(state, probe),
    }

    def step(state, batch):
        state = update_value_norm(state, batch)
        mean, variance = value_norm_moments(state)
        rows = {
            "running_mean": state.mean[None],
            "running_mean_sq": state.mean_sq[None],
            "debiasing_term": state.debias[None],
            "debiased_mean": mean[None],
            "debiased_var": variance[None],
            "normalize_probe": normalise(state, probe),
            "denormalize_probe": denormalise(state, probe),
            "normalize_batch": normalise(state, batch),
        }
        return state, rows

    return named | jax.lax.scan(step, state, batches)[1]


def critic_update(fixture: Fixture, dtype) -> dict[str, Array]:
    """All epochs in one call for the losses and the last state; epoch by epoch for the states in between."""
    fixture.require(critic_num_mini_batch=1, value_loss_coef=1, use_clipped_value_loss=True, use_huber_loss=True)
    fixture.require(weight_decay=0, use_max_grad_norm=True, use_valuenorm=True)
    arrays, num_epochs = fixture.group("params"), fixture.settings["critic_epoch"]
    params = to_flax([arrays], dtype)
    before = CriticState(one(params, 0), one(init_adam(params), 0), fixture.value_norm(dtype))
    batch = CriticBatch(
        state=fixture.get("share_obs", dtype),
        value=fixture.squeezed("value_preds", dtype),
        value_target=fixture.squeezed("returns", dtype),
        state_mask=None,
    )
    hypers, sizes = fixture.hypers(dtype), hidden_sizes(arrays)
    last, info = _critic_program(input_size(arrays), sizes, num_epochs)(before, batch, hypers)
    one_epoch = _critic_program(input_size(arrays), sizes, 1)
    states = [before]
    for _ in range(num_epochs - 1):
        states.append(one_epoch(states[-1], batch, hypers)[0])
    named = {
        "value_loss_per_epoch": info.value_loss,
        "grad_norm_before_clip_per_epoch": info.grad_norm,
        "reported_mean_value_loss": jnp.mean(info.value_loss),
        "reported_mean_grad_norm": jnp.mean(info.grad_norm),
    }
    for epoch, state in enumerate([*states[1:], last], start=1):
        norm = state.value_norm
        named |= {f"epoch{epoch}.params.{name}": leaf for name, leaf in to_torch(state.params, arrays).items()}
        named[f"epoch{epoch}.value_norm.running_mean"] = norm.mean[None]
        named[f"epoch{epoch}.value_norm.running_mean_sq"] = norm.mean_sq[None]
        named[f"epoch{epoch}.value_norm.debiasing_term"] = norm.debias[None]
    return named


@lru_cache
def _critic_program(state_size: int, sizes: tuple[int, ...], num_epochs: int):
    critic = make_critic([state_size], sizes)
    static = Static(critic_epochs=num_epochs)

    def run(state, batch, hypers):
        return update_critic(jax.random.key(0), state, batch, critic, static, hypers)

    return jax.jit(run)
