"""Replay of `policy_categorical`, `policy_gaussian` and `policy_gru`: one actor on a batch of observations."""

from typing import Any

import jax
import jax.numpy as jnp

from ltro_jax.distributions import Categorical, DiagonalGaussian
from ltro_jax.networks import make_actor
from ltro_jax.networks.actor import ActorModule
from ltro_jax.networks.body import MLP, LayerNorm
from ltro_jax.networks.features import make_modules
from ltro_jax.ops import masked_mean
from ltro_jax.types import Array
from replay.fixtures import Fixture
from replay.parameters import core, hidden_sizes, input_size, one, output_size, to_flax


def policy_categorical(fixture: Fixture, dtype) -> dict[str, Array]:
    arrays = fixture.group("params")
    sizes, actions = hidden_sizes(arrays), output_size(arrays)
    actor = make_actor([input_size(arrays)], [actions], True, sizes)

    def recompute(params, observation, available, active, action, hypers):
        policy = actor.apply(params, observation, (), available, None, hypers)[0]
        unmasked = actor.apply(params, observation, (), jnp.ones_like(available), None, hypers)[0]
        assert isinstance(policy, Categorical)
        assert isinstance(unmasked, Categorical)
        mode, entropy = policy.mode(), policy.entropy()
        return {
            "features": _features(params, sizes, observation),
            "raw_logits_before_mask": ActorModule(MLP(sizes, name="body"), actions, True).apply(
                params, observation, (), None, None
            )[0],
            "normalized_logits": policy.logits,
            "normalized_logits_no_mask": unmasked.logits,
            "probs": jnp.exp(policy.logits),
            "log_probs": policy.log_prob(action)[:, None],
            "mode_actions": mode[:, None],
            "mode_log_probs": policy.log_prob(mode)[:, None],
            "entropy_per_sample": entropy,
            "dist_entropy_with_active_masks": masked_mean(entropy, active),
            "dist_entropy_without_masks": jnp.mean(entropy),
        }

    return jax.jit(recompute)(
        one(to_flax([arrays], dtype), 0),
        fixture.get("obs", dtype),
        fixture.flags("available_actions"),
        fixture.flags("active_masks")[..., 0],
        fixture.squeezed("actions", "int32"),
        fixture.hypers(dtype),
    )


def policy_gaussian(fixture: Fixture, dtype) -> dict[str, Array]:
    arrays = fixture.group("params")
    sizes, actions = hidden_sizes(arrays), output_size(arrays)
    actor = make_actor([input_size(arrays)], [actions], False, sizes)

    def recompute(params, observation, action, hypers):
        policy = actor.apply(params, observation, (), jnp.ones(action.shape, bool), None, hypers)[0]
        assert isinstance(policy, DiagonalGaussian)
        mode, entropy = policy.mode(), policy.entropy()
        return {
            "features": _features(params, sizes, observation),
            "mean": policy.mean,
            "std": policy.std,
            "log_probs": _log_prob_per_dimension(policy, action),
            "mode_actions": mode,
            "mode_log_probs": _log_prob_per_dimension(policy, mode),
            "entropy_per_sample": entropy,
            "dist_entropy_with_active_masks": jnp.sum(entropy),  # the reference's sum in place of a mean
            "dist_entropy_without_masks": jnp.mean(entropy),
        }

    return jax.jit(recompute)(
        one(to_flax([arrays], dtype), 0),
        fixture.get("obs", dtype),
        fixture.get("actions", dtype),
        fixture.hypers(dtype),
    )


def policy_gru(fixture: Fixture, dtype) -> dict[str, Array]:
    arrays = fixture.group("params")
    sizes, actions, memory = hidden_sizes(arrays), output_size(arrays), core(arrays)
    modules = make_modules(MLP, memory, sizes, layer_norm=True)
    actor = make_actor([input_size(arrays)], [actions], True, sizes, memory)

    def recompute(params, observation, hidden, start, action, hypers):
        """`[B, T, …]`, as sequences are."""
        available = jnp.ones((*action.shape, actions), bool)
        policy = actor.unroll(params, observation, hidden, start, available, None, hypers)
        assert isinstance(policy, Categorical)
        outputs: Any = ActorModule(modules.body, actions, True, modules.core).apply(
            params, observation, hidden, start, None
        )
        after = outputs[2]
        norm = LayerNorm().apply({"params": params["params"]["gru_norm"]}, after)
        over_time = {
            "base_features": _features(params, sizes, observation),
            "features_after_gru_norm": norm,
            "normalized_logits": policy.logits,
            "log_probs": policy.log_prob(action)[..., None],
            "h_after_each_step": after[..., None, :],
        }
        named = {name: jnp.swapaxes(leaf, 0, 1) for name, leaf in over_time.items()}  # type: ignore[arg-type]
        return named | {"h_T": named["h_after_each_step"][-1], "dist_entropy": jnp.mean(policy.entropy())}

    return jax.jit(recompute)(
        one(to_flax([arrays], dtype), 0),
        fixture.get("obs", dtype).swapaxes(0, 1),
        fixture.squeezed("h0", dtype, axis=1),
        ~fixture.flags("masks")[..., 0].T,
        fixture.squeezed("actions", "int32").T,
        fixture.hypers(dtype),
    )


def _features(params, sizes: tuple[int, ...], observation: Array) -> Array:
    return MLP(sizes).apply({"params": params["params"]["body"]}, observation, None)  # type: ignore[return-value]


def _log_prob_per_dimension(policy: DiagonalGaussian, action: Array) -> Array:
    """`[…, A]`: every dimension's own log-density, by masking out the others."""
    each = jnp.eye(action.shape[-1], dtype=bool)
    return jax.vmap(lambda mask: policy.replace(mask=mask).log_prob(action), out_axes=-1)(each)  # type: ignore
