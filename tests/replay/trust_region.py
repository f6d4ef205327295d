"""Replay of `trust_region_{hatrpo,clip_hatrpo}_*`: the whole actor pass with one natural-gradient step per agent."""

import math
from collections import namedtuple
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ltro_jax.algorithms.hatrpo import HATRPO, candidate, trust_region_step
from ltro_jax.algorithms.policy import policy
from ltro_jax.config import Static
from ltro_jax.networks import make_actor
from ltro_jax.ops import masked_variance
from replay.actors import Agents, agent_batch, jit_actor_pass
from replay.fixtures import Fixture
from replay.parameters import one, to_flax, to_torch


def trust_region(fixture: Fixture, dtype) -> dict[str, np.ndarray]:
    fixture.require(use_policy_active_masks=True, action_aggregation="prod", share_param=False, use_valuenorm=True)
    fixture.require(use_recurrent_policy=False)
    agents, batch = Agents.of(fixture), agent_batch(fixture, dtype)
    returns = fixture.squeezed("returns", dtype)
    hypers = fixture.hypers(dtype, factor_clip=1.0 if "clip_hatrpo" in fixture.name else math.inf)
    program = _program(*agents.layout, fixture.settings["ls_step"])
    values = fixture.value_norm(dtype), fixture.squeezed("value_preds", dtype), returns
    order = fixture.arrays["agent_order"].astype(np.int32)
    result = jax.device_get(program(to_flax(agents.parameters, dtype), batch, values, hypers, order))
    before, after = result.measured
    named = {"factor_before_update_in_order": before[..., None], "factor_after_last_agent": after[-1][..., None]}
    for index, like in enumerate(agents.parameters):
        info = one(result.info, index)._asdict()
        # By NumPy: thousands of equal numbers, summed one after another, round in one direction.
        entropy = np.average(info["entropy"], weights=batch.active_mask[index])
        # the reference sums a Gaussian's entropy over the batch where the mean is meant
        info["dist_entropy"] = entropy * (1 if agents.discrete else returns.size)
        tried = int(info["line_search_evaluations"])
        accepted = bool(info["accepted"])
        last = {name: info[name][tried - 1] for name in ("kl", "loss_improve", "expected_improve")}
        if not accepted:  # the reference shrinks the expectation once more before it gives up
            last["expected_improve"] = last["expected_improve"] * hypers.backtrack_coeff
        figures = last | {name: info[name] for name in ("dist_entropy", "ratio", "adv_variance")}
        outputs = figures | {f"reported.{name}": value for name, value in figures.items()}
        outputs |= {f"{name}_at_each_line_search_step": info[name][:tried] for name in last}
        outputs |= {
            "step_size": info["step_size"],
            "surrogate_loss_before": info["surrogate_loss_before"],
            "line_search_evaluations": np.int64(tried),
            "reported.n_backtrack": np.asarray(tried, dtype),
            "accepted": np.int64(accepted),
        }
        for group in ("loss_grad", "step_dir", "fvp_of_step_dir"):
            outputs |= {f"{group}.{name}": leaf for name, leaf in to_torch(info[group], like).items()}
        final = to_torch(one(result.agents.params, index), like)
        outputs |= {f"final_params.{name}": leaf for name, leaf in final.items()}
        named |= {f"agent{index}.{name}": value for name, value in outputs.items()}
    return named


def _measure(log_factor, weight, log_ratio, batch, hypers):
    """Raw factor before and after this agent."""
    return jnp.exp(log_factor), jnp.exp(log_factor + log_ratio)


@lru_cache
def _program(observation_sizes, action_sizes, discrete: bool, sizes: tuple[int, ...], core, num_steps: int):
    """Compiled once for files that differ only in numbers."""
    actor = make_actor(observation_sizes, action_sizes, discrete, sizes, core)
    static = Static(ls_steps=num_steps)

    def update(rule, key, agent, batch, advantage, weight, position, hypers):
        """The real step, all that it computes, and the metrics that the reference takes at the last candidate."""
        params, step = trust_region_step(actor, agent.params, batch, weight, hypers, static)
        unravel = ravel_pytree(agent.params)[1]
        last_scale = jnp.power(hypers.backtrack_coeff, step.search.evaluations - 1)
        last = policy(actor, candidate(agent.params, step.direction, last_scale), batch, hypers)
        info = {
            "loss_grad": unravel(step.direction.gradient),
            "step_dir": unravel(step.direction.vector),
            "fvp_of_step_dir": unravel(step.direction.product),
            "step_size": step.direction.step_size,
            "surrogate_loss_before": step.direction.surrogate,
            "line_search_evaluations": step.search.evaluations,
            "accepted": step.search.accepted,
            "kl": step.search.kl,
            "loss_improve": step.search.gain,
            "expected_improve": step.search.expected_gain,
            "entropy": last.entropy(),
            "ratio": jnp.mean(jnp.exp(last.log_prob(batch.action) - batch.log_prob)),
            "adv_variance": masked_variance(weight * batch.advantage, batch.active_mask, ddof=1),
        }
        return agent.replace(params=params), namedtuple("Recorded", info)(**info)

    return jit_actor_pass(type("Recorded", (HATRPO,), {"update": update})(actor, static), _measure)
