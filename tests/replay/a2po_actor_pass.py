"""Replay of `a2po_actor_pass_*`: A2PO's whole actor pass, with one central critic that does not move."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.a2po import A2PO
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.sequential import sequential_update
from ltro_jax.algorithms.update_rule import Position
from ltro_jax.config import Static
from ltro_jax.networks import Actor, make_actor, make_critic
from ltro_jax.ops import masked_mean, masked_variance, probability_ratio, standardise
from ltro_jax.types import AgentState, Array
from replay.a2po import a2po_hypers, in_reward_units, team_batch
from replay.actors import Agents, agent_batch
from replay.fixtures import Fixture
from replay.parameters import hidden_sizes, input_size, one, to_flax, to_torch


class Recorded(NamedTuple):
    """Metrics of one agent."""

    advantages_at_turn: Array
    per_epoch: dict[str, Array]


class RecordedA2PO(A2PO):
    """A2PO, with what the reference logs of each epoch before its step."""

    def update(self, key, agent, batch, advantage, weight, position, hypers):
        agent, info = super().update(key, agent, batch, advantage, weight, position, hypers)
        return agent, Recorded(advantage[..., None], info)

    def gradient_step(self, agent, samples, advantage, weight, position, hypers):
        log_prob = policy(self.actor, agent.params, samples, hypers).log_prob(samples.action)
        log_ratio, clip_eps = log_prob - samples.log_prob, self.clip_eps(position, hypers)
        joint_ratio = probability_ratio(log_ratio) * weight
        agent, info = super().gradient_step(agent, samples, advantage, weight, position, hypers)
        return agent, {
            "policy_loss": info.policy_loss,
            "dist_entropy": info.entropy,
            "actor_grad_norm": info.grad_norm,
            "mean_ratio": jnp.mean(joint_ratio),
            "mean_advantage": jnp.mean(advantage),
            "upper_clip_rate": jnp.mean((joint_ratio > 1.0 + clip_eps).astype(advantage.dtype)),
            "lower_clip_rate": jnp.mean((joint_ratio < 1.0 - clip_eps).astype(advantage.dtype)),
            "update_range": jnp.mean(jnp.abs(joint_ratio - 1.0)),
            "kl": jnp.mean(jnp.exp(log_prob) * log_ratio),  # of the reference; it is no KL
        }


def a2po_actor_pass(fixture: Fixture, dtype) -> dict[str, np.ndarray]:
    fixture.require(central_critic=True, critic_frozen=True, trace_lambda="single", simultaneous=False, adv="gae_trace")
    fixture.require(standardisation="own active samples", use_policy_active_masks=True, use_agent_block=False)
    fixture.require(num_mini_batch=1, weight_decay=0, share_policy=False, leaky_trace=False, speedup_trace=False)
    fixture.require(use_ReLU=True, use_feature_normalization=True, clip_others_indvd=False, clip_before_prod=False)
    agents, settings = Agents.of(fixture), fixture.settings
    if not agents.discrete:
        fixture.require(std_parametrisation="sigmoid(log_std/std_x_coef)*std_y_coef")
    order = fixture.arrays["agent_order"].astype(np.int32)
    critic = fixture.group("critic_params")
    static = Static(
        actor_epochs=settings["ppo_epoch"],
        factor_rule="two_sided" if settings["clip_others"] else "clamp",
        truncation="mask",
    )
    program = _program(agents.layout, settings["mu_tanh"], input_size(critic), hidden_sizes(critic), static)
    outputs = program(
        to_flax(agents.parameters, dtype),
        to_flax([critic], dtype),
        fixture.get("share_obs", dtype)[-1:],
        fixture.squeezed("value_preds", dtype),
        fixture.value_norm(dtype) if settings["use_valuenorm"] else None,
        agent_batch(fixture, dtype).replace(team=team_batch(fixture, dtype)),
        a2po_hypers(fixture, dtype),
        order,
    )
    params, by_agent, by_place = jax.device_get(outputs)
    named = {}
    for place, index in enumerate(order):
        arrays = one(by_agent, index) | one(by_place, place)
        arrays |= {f"per_epoch.{name}": rows for name, rows in arrays.pop("per_epoch").items()}
        final = to_torch(one(params, index), agents.parameters[index])
        arrays |= {f"final_params.{name}": leaf for name, leaf in final.items()}
        named |= {f"agent{index}.{name}": array for name, array in arrays.items()}
    return named | _reported(by_agent["per_epoch"], order)


def _reported(per_epoch: dict[str, np.ndarray], order: np.ndarray) -> dict[str, Any]:
    """Means over agents and epochs; of the last two, each position's last epoch, divided by the number of updates."""
    renamed = {"mean_ratio": "ratio", "mean_advantage": "advantage"}
    named = {f"reported.{renamed.get(name, name)}": np.mean(rows) for name, rows in per_epoch.items()}
    for place, index in enumerate(order):
        for name in ("kl", "update_range"):
            rows = per_epoch[name]
            named[f"reported.order_{place}_{name}"] = rows[index, -1] / rows.size
    return named


@lru_cache
def _program(layout, mu_tanh: bool, state_size: int, critic_sizes: tuple[int, ...], static: Static):
    """Compiled once for files that differ only in numbers."""
    actor, critic = make_actor(*layout), make_critic([state_size], critic_sizes)
    rule = RecordedA2PO(_with_tanh(actor) if mu_tanh else actor, static)

    def measure(log_factor, weight, log_ratio, batch, hypers):
        return log_factor, log_ratio

    def run(params, critic_params, last_state, stored, value_norm, batch, hypers, order):
        last = critic.unroll(one(critic_params, 0), last_state, (), None, None)[0][0]
        shape, num_agents = batch.log_prob.shape, len(order)
        value, next_value = (jnp.broadcast_to(x, shape) for x in in_reward_units(value_norm, stored, last))
        batch = batch.replace(value=value, next_value=next_value, critic_output=jnp.broadcast_to(stored, shape))
        places = [Position(jnp.asarray(place), num_agents) for place in range(num_agents)]
        no_factor = jnp.zeros_like(stored)
        plain = jnp.stack(
            [
                rule.corrected_advantage(no_factor, batch.of_agent(index), places[0], hypers)
                for index in range(num_agents)
            ]
        )
        batch = batch.replace(advantage=jax.vmap(standardise)(plain, batch.active_mask))
        agents = AgentState(params, init_optimizer("adam", params))
        result = sequential_update(jax.random.key(0), agents, batch, hypers, rule=rule, measure=measure, order=order)
        log_factor, log_ratio = result.measured
        by_place = []
        for place, position in enumerate(places):
            samples = batch.of_agent(order[place])
            raw = rule.corrected_advantage(log_factor[place], samples, position, hypers)
            by_place.append(
                {
                    "trace_ratio": jnp.exp(log_factor[place])[..., None],
                    "returns_at_turn": (raw + samples.value)[..., None],
                    "advantage_mean": masked_mean(raw, samples.active_mask),
                    "advantage_std": jnp.sqrt(masked_variance(raw, samples.active_mask)),
                    "ratio_after_update": jnp.exp(log_ratio[place])[..., None],
                    "clip_param": rule.clip_eps(position, hypers),
                }
            )
        returns = (plain + value)[..., None]
        by_agent = result.info._asdict() | {"returns_before_any_update": returns, "value_targets": returns}
        return result.agents.params, by_agent, jax.tree.map(lambda *leaves: jnp.stack(leaves), *by_place)

    return jax.jit(run)


def _with_tanh(actor: Actor) -> Actor:
    """The actor with tanh of the mean, which ltro_jax does not have."""

    def unroll(*arguments):
        distribution = actor.unroll(*arguments)
        return distribution.replace(mean=jnp.tanh(distribution.mean))  # type: ignore[attr-defined]

    return actor._replace(unroll=unroll)
