"""Replay of `shared_parameters_{happo,clip_happo}_*`: one actor, and the agents one after another in each epoch."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.ppo import HAPPO
from ltro_jax.algorithms.shared_parameters import shared_passes
from ltro_jax.config import Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import denormalise, standardise
from ltro_jax.types import AgentState
from replay.actors import Agents, agent_batch, agent_report, ppo_inputs, static_settings
from replay.fixtures import Fixture
from replay.parameters import one, to_flax, to_torch


def shared_parameters(fixture: Fixture, dtype) -> dict[str, np.ndarray]:
    fixture.require(actor_num_mini_batch=1, use_max_grad_norm=True, use_policy_active_masks=True, weight_decay=0)
    fixture.require(action_aggregation="prod", share_param=True, use_valuenorm=True, use_recurrent_policy=False)
    agents, batch = Agents.of(fixture), agent_batch(fixture, dtype)
    parameters = agents.parameters[0]
    hypers, values, entropy_scale = ppo_inputs(fixture, agents, dtype)
    order = fixture.arrays["agent_order"].astype(np.int32)
    program = _program(*agents.layout, static_settings(fixture))
    agents_after, passes = jax.device_get(program(to_flax([parameters], dtype), batch, values, hypers, order))
    before, variance = passes.measured
    named = {
        "factor_before_update": before.reshape(*before.shape[:2], *values[-1].shape, 1),
        "agent_of_each_update": np.broadcast_to(order, before.shape[:2]),
    }
    named |= {f"final_params.{name}": leaf for name, leaf in to_torch(one(agents_after.params, 0), parameters).items()}
    for position, index in enumerate(order):
        info = jax.tree.map(lambda rows, at=index: rows[:, at], passes.info)
        named |= agent_report(f"agent{index}", info, variance[:, position], entropy_scale)
    return named


def _measure(log_factor, weight, log_ratio, batch, hypers):
    """Raw factor before this agent's step, and the variance of the weighted advantage."""
    return jnp.exp(log_factor), factor_statistics(log_factor, weight, log_ratio, batch, hypers).adv_variance_used


@lru_cache
def _program(observation_sizes, action_sizes, discrete: bool, sizes: tuple[int, ...], core, static: Static):
    """Compiled once for files that differ only in numbers."""
    actor = make_actor(observation_sizes[:1], action_sizes[:1], discrete, sizes, core)

    def run(params, batch, values, hypers, order):
        value_norm, stored_value, returns = values
        advantage = jnp.broadcast_to(returns - denormalise(value_norm, stored_value), batch.log_prob.shape)
        batch = batch.replace(advantage=standardise(advantage, batch.active_mask))
        agents = AgentState(params, init_optimizer("adam", params))
        settings = {"rule": HAPPO(actor, static), "measure": _measure, "groups": (0,) * len(order)}
        return shared_passes(jax.random.key(0), agents, batch, hypers, order, **settings)

    return jax.jit(run)
