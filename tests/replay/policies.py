"""Replay of `policy_categorical` and `policy_gaussian`: one actor on a batch of observations."""

import jax
import jax.numpy as jnp

from ltro_jax.distributions import DiagonalGaussian
from ltro_jax.networks import make_actor
from ltro_jax.networks.actor import ActorModule
from ltro_jax.networks.body import Body
from ltro_jax.ops import masked_mean
from ltro_jax.types import Array
from replay.fixtures import Fixture
from replay.parameters import hidden_sizes, input_size, one, output_size, to_flax


def policy_categorical(fixture: Fixture, dtype) -> dict[str, Array]:
    params, sizes, actions = _actor(fixture, dtype)
    observation, hypers = fixture.get("obs", dtype), fixture.hypers(dtype)
    available = jnp.asarray(fixture.arrays["available_actions"] > 0.5)
    active = fixture.flag("active_masks")
    action = fixture.squeezed("actions", dtype).astype(jnp.int32)
    actor = make_actor([observation.shape[-1]], [actions], True, sizes)

    def distribution(mask):
        return actor.apply(params, observation, (), mask, None, hypers)[0]

    policy = distribution(available)
    mode, entropy = policy.mode(), policy.entropy()
    return {
        "features": _features(params, sizes, observation),
        "raw_logits_before_mask": ActorModule(sizes, actions, True).apply(params, observation, None)[0],
        "normalized_logits": policy.logits,
        "normalized_logits_no_mask": distribution(jnp.ones_like(available)).logits,
        "probs": jnp.exp(policy.logits),
        "log_probs": policy.log_prob(action)[:, None],
        "mode_actions": mode[:, None],
        "mode_log_probs": policy.log_prob(mode)[:, None],
        "entropy_per_sample": entropy,
        "dist_entropy_with_active_masks": masked_mean(entropy, active),
        "dist_entropy_without_masks": jnp.mean(entropy),
    }


def policy_gaussian(fixture: Fixture, dtype) -> dict[str, Array]:
    params, sizes, actions = _actor(fixture, dtype)
    observation, hypers = fixture.get("obs", dtype), fixture.hypers(dtype)
    action = fixture.get("actions", dtype)
    actor = make_actor([observation.shape[-1]], [actions], False, sizes)
    policy = actor.apply(params, observation, (), jnp.ones(action.shape, bool), None, hypers)[0]
    entropy = policy.entropy()
    return {
        "features": _features(params, sizes, observation),
        "mean": policy.mean,
        "std": policy.std,
        "log_probs": _log_prob_per_dimension(policy, action),
        "mode_actions": policy.mode(),
        "mode_log_probs": _log_prob_per_dimension(policy, policy.mode()),
        "entropy_per_sample": entropy,
        "dist_entropy_with_active_masks": jnp.sum(entropy),  # the reference's sum in place of a mean
        "dist_entropy_without_masks": jnp.mean(entropy),
    }


def _actor(fixture: Fixture, dtype):
    arrays = fixture.group("params")
    if fixture.arrays["obs"].shape[-1] != input_size(arrays):
        raise ValueError("obs does not fit the parameters")
    return one(to_flax([arrays], dtype), 0), hidden_sizes(arrays), output_size(arrays)


def _features(params, sizes: tuple[int, ...], observation: Array) -> Array:
    return Body(sizes).apply({"params": params["params"]["body"]}, observation, None)  # type: ignore[return-value]


def _log_prob_per_dimension(policy: DiagonalGaussian, action: Array) -> Array:
    """`[…, A]`: every dimension's own log-density, by masking out the others."""
    each = jnp.eye(action.shape[-1], dtype=bool)
    masks = jnp.broadcast_to(each[:, None, :], (len(each), *action.shape))
    return jax.vmap(lambda mask: policy.replace(mask=mask).log_prob(action), out_axes=-1)(masks)  # type: ignore
