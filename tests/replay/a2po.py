"""Replay of `a2po_trace` and `a2po_order`: corrected advantages along an order, and the orders themselves."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOperatorIssue=false

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.algorithms.a2po import A2PO
from ltro_jax.algorithms.update_rule import Position
from ltro_jax.config import Hypers, Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import (
    advantage_scores,
    clamped_factor,
    denormalise,
    generalised_advantage,
    greedy_order,
    semi_greedy_order,
    standardise,
)
from ltro_jax.types import AgentBatch, Array, TeamBatch, ValueNorm
from replay.fixtures import Fixture

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
    rule = A2PO(make_actor([1], [1], True, (1,)), Static(truncation="mask"))  # the actor is not used
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
