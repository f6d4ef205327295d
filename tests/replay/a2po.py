"""Replay of `a2po_trace`, `a2po_order` and `a2po_actor_pass_*`: corrected advantages, orders, and the actor pass."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.a2po import A2PO
from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.algorithms.policy import policy
from ltro_jax.algorithms.sequential import sequential_update
from ltro_jax.algorithms.update_rule import Position
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import Actor, make_actor, make_critic
from ltro_jax.ops import (
    advantage_scores,
    clamped_factor,
    denormalise,
    generalised_advantage,
    greedy_order,
    masked_mean,
    masked_variance,
    probability_ratio,
    semi_greedy_order,
    standardise,
)
from ltro_jax.types import AgentBatch, AgentState, Array, TeamBatch, ValueNorm
from replay.actors import Agents, agent_batch
from replay.fixtures import Fixture
from replay.parameters import hidden_sizes, input_size, one, to_flax, to_torch

# (log C, batch of one agent, position, hypers) → its advantage, [T, B]
Corrected = Callable[[Array, AgentBatch, Position, Hypers], Array]


def a2po_hypers(fixture: Fixture, dtype) -> Hypers:
    """Our hyper-parameters; the switches of the reference are values of ours."""
    settings = fixture.settings
    return fixture.hypers(
        dtype,
        trace_clip=settings["trace_clip_param"],
        clip_eps_slope=settings["near_linear_clip_param_weight"] if settings["clip_param_tuner"] else 0.0,
        factor_eps=settings["others_clip_param"],
        factor_clip=math.inf,
        max_grad_norm=settings["max_grad_norm"] if settings["use_max_grad_norm"] else math.inf,
    )


def team_batch(fixture: Fixture, dtype) -> TeamBatch:
    done, truncated = (~fixture.flags(name)[1:, ..., 0] for name in ("masks", "bad_masks"))
    truncated = truncated & fixture.settings["use_proper_time_limits"]
    return TeamBatch(fixture.squeezed("rewards", dtype), done & ~truncated, truncated)


def in_reward_units(state: ValueNorm | None, stored: Array, last: Array) -> tuple[Array, Array]:
    """Values `[T, B]` of all steps and of the states after them; without a normaliser as they are."""
    value, last_value = (x if state is None else denormalise(state, x) for x in (stored, last))
    return value, jnp.concatenate([value[1:], last_value[None]])


# ---- a2po_trace


def a2po_trace(fixture: Fixture, dtype) -> dict[str, Array]:
    fixture.require(leaky_trace=False, speedup_trace=False)
    order, team = tuple(fixture.arrays["agent_order"].tolist()), team_batch(fixture, dtype)
    agents = [_values_of(fixture, f"agent{index}.", team, dtype) for index in range(len(order))]
    hypers, alpha = a2po_hypers(fixture, dtype), np.asarray(fixture.settings["leaky_alpha"], dtype)
    return jax.jit(_trace_variants, static_argnums=0)(order, agents, hypers, alpha)


def _values_of(fixture: Fixture, prefix: str, team: TeamBatch, dtype) -> dict[str, Any]:
    """Stored values, the normaliser and the log-ratio of an agent."""
    return {
        "stored": (fixture.squeezed(f"{prefix}value_preds", dtype), fixture.squeezed(f"{prefix}next_value", dtype)),
        "value_norm": fixture.value_norm(dtype, prefix) if fixture.settings["use_valuenorm"] else None,
        "active_mask": fixture.flags(f"{prefix}active_masks")[..., 0],
        "log_ratio": np.log(fixture.squeezed(f"{prefix}ratio", dtype)),
        "team": team,
    }


def _trace_variants(order: Sequence[int], agents: list[dict[str, Any]], hypers: Hypers, alpha: Array):
    """Every variant's outputs under its prefix. The reference takes λ twice in the trace, except where it says not."""
    rule = A2PO(None, Static(truncation="mask"))
    squared = hypers.replace(gae_lambda=jnp.square(hypers.gae_lambda))

    def published(log_factor, batch, position, hypers):
        return rule.corrected_advantage(log_factor, batch, position, squared)

    def leaky(log_factor, batch, position, hypers):
        clamped = clamped_factor(log_factor, hypers.trace_clip)
        trace = alpha * clamped + (1.0 - alpha) * clamped_factor(log_factor, jnp.inf)
        values = batch.team.reward, batch.value, batch.next_value, batch.team.terminated, batch.team.truncated
        return generalised_advantage(*values, hypers.gamma, squared.gae_lambda, "mask", trace)

    def without(agent: dict[str, Any], part: str) -> dict[str, Any]:
        team = agent["team"]
        limits = team.replace(truncated=jnp.zeros_like(team.truncated), terminated=team.terminated | team.truncated)
        return agent | ({"value_norm": None} if part == "value_norm" else {"team": limits})

    variants = {
        "": (published, agents),
        "single_lambda.": (rule.corrected_advantage, agents),
        "speedup_trace.": (_products_of_ratios, agents),
        "no_valuenorm.": (published, [without(agent, "value_norm") for agent in agents]),
        "no_time_limits.": (published, [without(agent, "time_limits") for agent in agents]),
        "leaky.": (leaky, agents),
    }
    return {
        f"{variant}agent{index}.{name}": array[..., None]
        for variant, (corrected, inputs) in variants.items()
        for index, arrays in _along_the_order(rule, corrected, order, inputs, hypers).items()
        for name, array in arrays.items()
    }


def _along_the_order(
    rule: A2PO, corrected: Corrected, order: Sequence[int], agents: list[dict[str, Any]], hypers: Hypers
) -> dict[int, dict[str, Array]]:
    """Each agent's outputs when its position comes; the advantages of those after it are still the plain ones."""
    batches = [_value_batch(agent) for agent in agents]
    masks = jnp.stack([batch.active_mask for batch in batches])
    log_factor, outputs = jnp.zeros_like(agents[0]["log_ratio"]), {}
    first = Position(jnp.zeros((), int), len(order))
    raw = [rule.corrected_advantage(log_factor, batch, first, hypers) for batch in batches]
    for place, index in enumerate(order):
        position = Position(jnp.asarray(place), len(order))
        if place > 0:
            raw[index] = corrected(log_factor, batches[index], position, hypers)
        outputs[index] = {
            "joint_ratio": jnp.exp(log_factor),
            "returns": raw[index] + batches[index].value,
            "advantages": raw[index],
            "standardised_advantages": standardise(jnp.stack(raw), masks)[index],
        }
        log_factor = log_factor + agents[index]["log_ratio"]
    return outputs


def _value_batch(agent: dict[str, Any]) -> AgentBatch:
    """What an advantage is computed from, and nothing else."""
    value, next_value = in_reward_units(agent["value_norm"], *agent["stored"])
    nothing = dict.fromkeys(("observation", "action", "action_mask", "log_prob", "advantage"))
    return AgentBatch(
        **nothing, active_mask=agent["active_mask"], value=value, next_value=next_value, team=agent["team"]
    )


def _products_of_ratios(log_factor: Array, batch: AgentBatch, position: Position, hypers: Hypers) -> Array:
    """The reference's `speedup_trace`, which ltro_jax does not have.

    Σ_{l ≥ t} (γλ)^{l−t} P_{t,l} δ_l within the episode, with P_{t,t} = 1 and P_{t,l} = min(1, C_l P_{t,l−1}).
    """
    team, joint_ratio = batch.team, jnp.exp(log_factor)
    done = team.terminated | team.truncated
    delta = team.reward + hypers.gamma * jnp.where(done, 0.0, batch.next_value) - batch.value
    rows = []
    for start in range(len(delta)):
        product, coefficient, total = jnp.ones_like(delta[0]), 1.0 - team.truncated[start], 0.0
        for step in range(start, len(delta)):
            if step > start:
                product = jnp.minimum(1.0, joint_ratio[step] * product)
                kept = (1.0 - done[step - 1]) * (1.0 - team.truncated[step])
                coefficient = coefficient * hypers.gamma * hypers.gae_lambda * kept
            total = total + coefficient * product * delta[step]
        rows.append(total)
    return jnp.stack(rows)


# ---- a2po_order


def a2po_order(fixture: Fixture, dtype) -> dict[str, Array]:
    advantages, values, ratios = (
        np.moveaxis(fixture.squeezed(name, dtype), -1, 1) for name in ("advantages", "value_preds", "ratios")
    )  # [K, N, T, B]

    def recompute(advantages, values, ratios, picks):
        scores, scores_r = (jax.vmap(advantage_scores)(x, values) for x in (advantages, advantages * ratios))
        greedy, semi_greedy = jax.vmap(greedy_order), jax.vmap(semi_greedy_order)
        named = {}
        for suffix, ranked in {"": scores, "_r": scores_r}.items():
            orders = {
                "greedy": greedy(ranked),
                "semi_greedy": semi_greedy(ranked, picks),
                "reverse_greedy": greedy(-ranked),
                "reverse_semi_greedy": semi_greedy(-ranked, picks),
            }
            for name, order in orders.items():
                named |= {f"{name}{suffix}.order": order, f"{name}{suffix}.scores": ranked}
        return named

    return jax.jit(recompute)(advantages, values, ratios, fixture.arrays["random_picks"].astype(np.int32))


# ---- a2po_actor_pass_*


class RecordedA2PO(A2PO):
    """A2PO, with what the reference logs of each epoch before its step."""

    def update(self, key, agent, batch, advantage, weight, position, hypers):
        agent, info = super().update(key, agent, batch, advantage, weight, position, hypers)
        return agent, {"advantages_at_turn": advantage[..., None], "per_epoch": info}

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


def _reported(per_epoch: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
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
        result = sequential_update(
            jax.random.key(0), agents, batch, hypers, rule=rule, measure=measure, order=order
        )
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
        by_agent = result.info | {"returns_before_any_update": returns, "value_targets": returns}
        return result.agents.params, by_agent, jax.tree.map(lambda *leaves: jnp.stack(leaves), *by_place)

    return jax.jit(run)


def _with_tanh(actor: Actor) -> Actor:
    """The actor with tanh of the mean, which ltro_jax does not have."""

    def unroll(*arguments):
        distribution = actor.unroll(*arguments)
        return distribution.replace(mean=jnp.tanh(distribution.mean))  # type: ignore[attr-defined]

    return actor._replace(unroll=unroll)
