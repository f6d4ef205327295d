"""Replay of `sequential_update_{happo,clip_happo}_*`: the whole actor pass, one agent after another."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import math
import re
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.ppo import HAPPO, PPOInfo
from ltro_jax.algorithms.sequential import Measure
from ltro_jax.algorithms.sequential import sequential_update as update_in_order
from ltro_jax.algorithms.update_rule import UpdateRule
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import denormalise, standardise
from ltro_jax.types import AgentBatch, AgentState, Array
from replay.fixtures import Fixture
from replay.parameters import core, hidden_sizes, input_size, one, output_size, to_flax, to_torch


class Agents(NamedTuple):
    """The agents of a file: true sizes and initial parameters in the file's own layout."""

    parameters: list[dict[str, np.ndarray]]

    @classmethod
    def of(cls, fixture: Fixture) -> "Agents":
        indices = {int(match[1]) for name in fixture.arrays if (match := re.match(r"agent(\d+)\.", name))}
        if indices != set(range(len(indices))):
            raise ValueError(f"agents {sorted(indices)} are not numbered from 0")
        shared = fixture.group("init_params")
        return cls([fixture.group(f"agent{index}.init_params") or shared for index in sorted(indices)])

    @property
    def discrete(self) -> bool:
        return "log_std" not in self.parameters[0]

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        return tuple(map(input_size, self.parameters))

    @property
    def action_sizes(self) -> tuple[int, ...]:
        return tuple(map(output_size, self.parameters))

    @property
    def layout(self) -> tuple[Any, ...]:
        """Arguments of `make_actor`."""
        first = self.parameters[0]
        return self.observation_sizes, self.action_sizes, self.discrete, hidden_sizes(first), core(first)


def sequential_update(fixture: Fixture, dtype) -> dict[str, np.ndarray]:
    fixture.require(actor_num_mini_batch=1, use_max_grad_norm=True, use_policy_active_masks=True, weight_decay=0)
    fixture.require(action_aggregation="prod", share_param=False, use_valuenorm=True)
    agents, batch = Agents.of(fixture), agent_batch(fixture, dtype)
    hypers, values, entropy_scale = ppo_inputs(fixture, agents, dtype)
    program = _program(*agents.layout, static_settings(fixture))
    order = fixture.arrays["agent_order"]
    result = jax.device_get(program(to_flax(agents.parameters, dtype), batch, values, hypers, order.astype(np.int32)))
    before, after, adv_variance = result.measured
    named = {"factor_before_update_in_order": before[..., None], "factor_after_last_agent": after[-1][..., None]}
    for index, like in enumerate(agents.parameters):
        final = to_torch(one(result.agents.params, index), like)
        named |= {f"agent{index}.final_params.{name}": leaf for name, leaf in final.items()}
        info = one(result.info, index)
        variance = np.full_like(info.grad_norm, adv_variance[list(order).index(index)])
        named |= agent_report(f"agent{index}", info, variance, entropy_scale)
    return named


def ppo_inputs(fixture: Fixture, agents: Agents, dtype) -> tuple[Hypers, tuple[Any, ...], int]:
    """Hyper-parameters, what advantages are made from, and the factor between the reference's entropy and the mean."""
    returns = fixture.squeezed("returns", dtype)
    # the reference sums a Gaussian's entropy over the batch where the mean is meant
    entropy_scale = 1 if agents.discrete else returns.size
    hypers = fixture.hypers(
        dtype,
        factor_clip=1.0 if "clip_happo" in fixture.name else math.inf,
        ent_coef=fixture.settings["entropy_coef"] * entropy_scale,
    )
    return hypers, (fixture.value_norm(dtype), fixture.squeezed("value_preds", dtype), returns), entropy_scale


def static_settings(fixture: Fixture) -> Static:
    """What the actor pass reads of the settings that decide the program."""
    return Static(
        actor_epochs=fixture.settings["ppo_epoch"],
        recurrent=fixture.settings["use_recurrent_policy"],
        chunk_length=fixture.settings["data_chunk_length"],
    )


def agent_report(agent: str, info: PPOInfo, adv_variance: np.ndarray, entropy_scale: int) -> dict[str, np.ndarray]:
    """The log of the reference for one agent: the metrics of each epoch `[K]`, and their means."""
    per_epoch = {
        "policy_loss": info.policy_loss,
        "dist_entropy": info.entropy * entropy_scale,
        "grad_norm_before_clip": info.grad_norm,
        "mean_ratio": info.mean_ratio,
        "adv_variance": adv_variance,
    }
    reported = {"grad_norm_before_clip": "actor_grad_norm", "mean_ratio": "ratio"}
    named = {}
    for name, rows in per_epoch.items():
        named[f"{agent}.per_epoch.{name}"] = rows
        named[f"{agent}.reported.{reported.get(name, name)}"] = np.mean(rows)
    return named


def agent_batch(fixture: Fixture, dtype) -> AgentBatch:
    """All agents' samples without advantages, leaves `[N, T, B, …]`; unlike widths are padded."""
    agents = Agents.of(fixture)
    indices = range(len(agents.parameters))
    observation, entries = _padded([fixture.get(f"agent{index}.obs", dtype) for index in indices])
    actions = [fixture.get(f"agent{index}.actions", dtype) for index in indices]
    if agents.discrete:
        action = np.stack(actions)[..., 0].astype(np.int32)
        action_mask = _padded([_available(fixture, index, agents.action_sizes[index]) for index in indices])[0]
    else:
        action, dimensions = _padded(actions)
        action_mask = np.broadcast_to(dimensions[:, None, None, :], action.shape)
    observation_mask = np.broadcast_to(entries[:, None, None, :], observation.shape)
    log_probs = [fixture.get(f"agent{index}.old_action_log_probs", dtype) for index in indices]
    return AgentBatch(
        observation=observation,
        action=action,
        action_mask=action_mask,
        active_mask=np.stack([fixture.flags(f"agent{index}.active_masks")[..., 0] for index in indices]),
        log_prob=np.stack([np.sum(per_dimension, axis=-1) for per_dimension in log_probs]),
        advantage=None,
        observation_mask=None if len(set(agents.observation_sizes)) == 1 else observation_mask,
        **_memory(fixture, len(indices), dtype),
    )


def _memory(fixture: Fixture, num_agents: int, dtype) -> dict[str, np.ndarray]:
    """Hidden states before each step and the starts of episodes; nothing when feed-forward."""
    if not fixture.settings.get("use_recurrent_policy", False):
        return {}
    fixture.require(recurrent_n=1)
    hidden = [fixture.squeezed(f"agent{index}.rnn_states", dtype, axis=2) for index in range(num_agents)]
    start = [~fixture.flags(f"agent{index}.masks")[..., 0] for index in range(num_agents)]
    return {"hidden": np.stack(hidden), "start": np.stack(start)}


def _available(fixture: Fixture, index: int, num_actions: int) -> np.ndarray:
    name = f"agent{index}.available_actions"
    if name in fixture:
        return fixture.flags(name)
    return np.ones((*fixture.arrays[f"agent{index}.obs"].shape[:2], num_actions), bool)


def _padded(arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stacked with the last axis zero-padded to the widest, and a mask `[N, width]` of the true entries."""
    sizes = np.array([array.shape[-1] for array in arrays])
    padding = [[(0, 0)] * (array.ndim - 1) + [(0, max(sizes) - array.shape[-1])] for array in arrays]
    stack = np.stack([np.pad(array, pad) for array, pad in zip(arrays, padding, strict=True)])
    return stack, np.arange(max(sizes)) < sizes[:, None]


def _measure(log_factor, weight, log_ratio, batch, hypers) -> tuple[Array, Array, Array]:
    """Raw factor before and after this agent, and the variance of the weighted advantage."""
    statistics = factor_statistics(log_factor, weight, log_ratio, batch, hypers)
    return jnp.exp(log_factor), jnp.exp(log_factor + log_ratio), statistics.adv_variance_used


@lru_cache
def _program(observation_sizes, action_sizes, discrete: bool, sizes: tuple[int, ...], core, static: Static):
    """Compiled once for files that differ only in numbers."""
    actor = make_actor(observation_sizes, action_sizes, discrete, sizes, core)
    return jit_actor_pass(HAPPO(actor, static), _measure)


def jit_actor_pass(rule: UpdateRule, measure: Measure):
    """The actor pass as the reference runs it: raw advantages first, then one agent after another."""

    def run(params, batch, values, hypers, order):
        value_norm, stored_value, returns = values
        advantage = returns - denormalise(value_norm, stored_value)
        standardised = jax.vmap(standardise, in_axes=(None, 0))(advantage, batch.active_mask)
        return update_in_order(
            jax.random.key(0),
            AgentState(params, init_optimizer("adam", params)),
            batch.replace(advantage=standardised),
            hypers,
            rule=rule,
            measure=measure,
            order=order,
        )

    return jax.jit(run)
