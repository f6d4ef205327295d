"""Replay of `sequential_update_{happo,clip_happo}_*`: the whole actor pass, one agent after another."""

import math
import re
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.algorithms.optimiser import init_adam
from ltro_jax.algorithms.ppo_step import make_log_ratio, make_ppo_update
from ltro_jax.algorithms.sequential import sequential_update as update_in_order
from ltro_jax.config import Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import denormalise, standardise
from ltro_jax.types import AgentBatch, AgentState, Array
from replay.fixtures import Fixture
from replay.parameters import hidden_sizes, input_size, one, output_size, to_flax, to_torch


class Agents(NamedTuple):
    """The agents of a file: true sizes and initial parameters in the file's own layout."""

    parameters: list[dict[str, np.ndarray]]

    @classmethod
    def of(cls, fixture: Fixture) -> "Agents":
        indices = {int(match[1]) for name in fixture.arrays if (match := re.match(r"agent(\d+)\.", name))}
        if indices != set(range(len(indices))):
            raise ValueError(f"agents {sorted(indices)} are not numbered from 0")
        return cls([fixture.group(f"agent{index}.init_params") for index in sorted(indices)])

    @property
    def discrete(self) -> bool:
        return "log_std" not in self.parameters[0]

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        return tuple(map(input_size, self.parameters))

    @property
    def action_sizes(self) -> tuple[int, ...]:
        return tuple(map(output_size, self.parameters))


def sequential_update(fixture: Fixture, dtype) -> dict[str, Array]:
    fixture.require(actor_num_mini_batch=1, use_max_grad_norm=True, use_policy_active_masks=True, weight_decay=0)
    fixture.require(action_aggregation="prod", share_param=False, use_valuenorm=True, use_recurrent_policy=False)
    agents, batch = Agents.of(fixture), agent_batch(fixture, dtype)
    num_samples = batch.log_prob[0].size
    # the reference sums a Gaussian's entropy over the batch where the mean is meant
    entropy_scale = 1 if agents.discrete else num_samples
    hypers = fixture.hypers(
        dtype,
        factor_clip=1.0 if "clip_happo" in fixture.name else math.inf,
        ent_coef=fixture.settings["entropy_coef"] * entropy_scale,
    )
    program = _program(
        agents.observation_sizes,
        agents.action_sizes,
        agents.discrete,
        hidden_sizes(agents.parameters[0]),
        fixture.settings["ppo_epoch"],
    )
    order = fixture.arrays["agent_order"]
    params = to_flax(agents.parameters, dtype)
    result = program(AgentState(params, init_adam(params)), batch, hypers, jnp.asarray(order))
    before, after, adv_variance = result.measured
    named = {"factor_before_update_in_order": before[..., None], "factor_after_last_agent": after[-1][..., None]}
    for index, like in enumerate(agents.parameters):
        final = to_torch(one(result.agents.params, index), like)
        named |= {f"agent{index}.final_params.{name}": leaf for name, leaf in final.items()}
        info = one(result.info, index)
        per_epoch = {
            "policy_loss": info.policy_loss,
            "dist_entropy": info.entropy * entropy_scale,
            "grad_norm_before_clip": info.grad_norm,
            "mean_ratio": info.mean_ratio,
            "adv_variance": jnp.full_like(info.grad_norm, adv_variance[list(order).index(index)]),
        }
        reported = {"grad_norm_before_clip": "actor_grad_norm", "mean_ratio": "ratio"}
        for name, rows in per_epoch.items():
            named[f"agent{index}.per_epoch.{name}"] = rows
            named[f"agent{index}.reported.{reported.get(name, name)}"] = jnp.mean(rows)
    return named


def agent_batch(fixture: Fixture, dtype) -> AgentBatch:
    """All agents' samples, leaves `[N, T, B, …]`; unlike widths are padded, advantages recomputed at this precision."""
    agents = Agents.of(fixture)
    indices = range(len(agents.parameters))
    values = denormalise(fixture.value_norm(dtype), fixture.squeezed("value_preds", dtype))
    advantage = fixture.squeezed("returns", dtype) - values
    active_mask = jnp.stack([fixture.flag(f"agent{index}.active_masks") for index in indices])
    observation, observation_mask = _padded([fixture.get(f"agent{index}.obs", dtype) for index in indices])
    log_probs = [jnp.sum(fixture.get(f"agent{i}.old_action_log_probs", dtype), axis=-1) for i in indices]
    actions = [fixture.get(f"agent{index}.actions", dtype) for index in indices]
    shape = active_mask.shape[1:]
    if agents.discrete:
        action = jnp.stack(actions)[..., 0].astype(jnp.int32)
        action_mask = _padded([_available(fixture, index, shape, agents) for index in indices])[0]
    else:
        action, dimensions = _padded(actions)
        action_mask = jnp.broadcast_to(dimensions[:, None, None, :], action.shape)
    return AgentBatch(
        observation=observation,
        action=action,
        action_mask=action_mask,
        active_mask=active_mask,
        log_prob=jnp.stack(log_probs),
        advantage=jax.vmap(standardise, in_axes=(None, 0))(advantage, active_mask),
        observation_mask=None if len(set(agents.observation_sizes)) == 1 else observation_mask,
    )


def _available(fixture: Fixture, index: int, shape: tuple[int, ...], agents: Agents) -> Array:
    name = f"agent{index}.available_actions"
    if name in fixture:
        return jnp.asarray(fixture.arrays[name] > 0.5)
    return jnp.ones((*shape, agents.action_sizes[index]), bool)


def _padded(arrays: list[Array]) -> tuple[Array, Array]:
    """Stacked with the last axis zero-padded to the widest, and a mask `[N, width]` of the true entries."""
    sizes = np.array([array.shape[-1] for array in arrays])
    padding = [[(0, 0)] * (array.ndim - 1) + [(0, max(sizes) - array.shape[-1])] for array in arrays]
    stack = jnp.stack([jnp.pad(array, pad) for array, pad in zip(arrays, padding, strict=True)])
    return stack, jnp.asarray(np.arange(max(sizes)) < sizes[:, None])


def _measure(log_factor, weight, log_ratio, batch, hypers) -> tuple[Array, Array, Array]:
    """Raw factor before and after this agent, and the variance of the weighted advantage."""
    statistics = factor_statistics(log_factor, weight, log_ratio, batch, hypers)
    return jnp.exp(log_factor), jnp.exp(log_factor + log_ratio), statistics.adv_variance_used


@lru_cache
def _program(observation_sizes, action_sizes, discrete: bool, sizes: tuple[int, ...], num_epochs: int):
    """Compiled once for files that differ only in numbers."""
    actor = make_actor(observation_sizes, action_sizes, discrete, sizes)
    agent_update, log_ratio = make_ppo_update(actor, Static(actor_epochs=num_epochs)), make_log_ratio(actor)

    def run(agents, batch, hypers, order):
        return update_in_order(
            jax.random.key(0),
            agents,
            batch,
            hypers,
            agent_update=agent_update,
            log_ratio=log_ratio,
            measure=_measure,
            order=order,
        )

    return jax.jit(run)
