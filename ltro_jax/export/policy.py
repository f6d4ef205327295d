"""Export a policy as tensors and a card, for use without ltro_jax and without JAX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from ltro_jax.algorithms import UpdateRule
from ltro_jax.config import Hypers
from ltro_jax.distributions import UNAVAILABLE
from ltro_jax.ops import LAYER_NORM_EPS
from ltro_jax.runs.load import Run
from ltro_jax.runs.policy import Actors, load_actors
from ltro_jax.runs.scoring import ABSOLUTE_FACTOR, absolute_metrics
from ltro_jax.storage import MetricStore, RunError
from ltro_jax.storage.errors import one_line
from ltro_jax.storage.exported_policy import is_exported, write_exported
from ltro_jax.training import make_train
from ltro_jax.training.evaluation import KINDS
from ltro_jax.training.parts import Parts
from ltro_jax.types import Params

AXES = {  # last part of a tensor's name → its axes
    "kernel": ("actor", "input", "output"),
    "input_kernel": ("actor", "input", "reset, update and candidate gate"),
    "recurrent_kernel": ("actor", "input", "reset, update and candidate gate"),
    "input_bias": ("actor", "reset, update and candidate gate"),
    "bias": ("actor", "feature"),
    "candidate_bias": ("actor", "feature"),
    "scale": ("actor", "feature"),
    "log_std": ("actor", "action"),
}


def export_policy(
    path: str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    iteration: int | None = None,
    point: Mapping[str, float] | None = None,
    best: bool = False,
    rule: type[UpdateRule] | None = None,
) -> Path:
    """Write one policy of the run at `path` as `policy.safetensors` with a card, `policy.json`.

    The card describes the tensors, how to compute an action from them, and their scores; `load_policy(out)` loads the
    policy. The scores of the best actors are from new episodes (`absolute_metrics`).

    Args:
        path: the run.
        out: new or empty directory.
        seed, iteration, point, best, rule: select the policy, as for `load_policy`.
    Returns:
        `out`.
    Raises:
        RunError: the policy does not exist, the extra `export` is not installed, or `out` cannot be written.
    """
    if is_exported(path):
        raise RunError(f"{path} is already an exported policy; give the path of its run")
    actors = load_actors(path, seed, iteration, point, best, rule)
    static = actors.run.config.static
    if static.network != "mlp" or (static.recurrent and static.core != "gru"):
        chosen = f"core = {static.core!r}" if static.network == "mlp" else f"network = {static.network!r}"
        raise RunError(
            f"{path} has {chosen}, which an exported policy cannot describe (only mlp and gru); use load_policy"
        )
    run, member = actors.run, actors.run.config.members[actors.member]
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in _flat(actors.params).items()}
    chosen = {name: getattr(member.hypers, name) for name, _ in run.config.run.grid}
    card = policy_card(make_train(run.config).parts, tensors, member.hypers)
    card["origin"] = {
        "run": run.directory.name,
        "seed": member.seed,
        "point": chosen,
        "actors": "best" if best else "newest" if iteration is None else "of a checkpoint",
        "iteration": actors.iteration,
        "env_steps": actors.iteration * run.config.static.steps_per_iteration,
        "evaluation": _evaluation(run, actors, best, iteration),
        "versions": run.directory.environment["packages"],
    }
    card["settings"] = run.config.replace(seeds=(member.seed,), grid=(), **chosen).to_dict()
    write_exported(out, tensors, card)
    return Path(out)


def policy_card(parts: Parts, tensors: Mapping[str, np.ndarray], hypers: Hypers) -> dict[str, Any]:
    """A description of the tensors, and how to compute an action from them."""
    static, spec = parts.static, parts.spec
    architecture = {
        "hidden_sizes": static.hidden_sizes,
        "activation": "relu",
        "layer_norm": "of the observation and after each hidden layer" if static.layer_norm else None,
        "layer_norm_epsilon": LAYER_NORM_EPS if static.layer_norm else None,
        "recurrent": static.recurrent,
        "share_parameters": static.share_parameters,
        "std_x_coef": float(hypers.std_x_coef),
        "std_y_coef": float(hypers.std_y_coef),
    }
    return {
        "task": spec.name,
        "algorithm": static.algorithm,
        "agents": spec.agents,
        "observation_sizes": spec.observation_sizes,
        "action_sizes": spec.action_sizes,
        "actions": "discrete" if spec.discrete else "continuous",
        "architecture": architecture,
        "tensors": {
            name: {"shape": tensor.shape, "dtype": str(tensor.dtype), "axes": AXES[name.split(".")[-1]]}
            for name, tensor in tensors.items()
        },
        "how_to_act": how_to_act(parts),
    }


def how_to_act(parts: Parts) -> list[str]:
    """The forward pass of an agent as sentences, step by step."""
    static, spec = parts.static, parts.spec
    last = len(static.hidden_sizes) - 1
    steps = [
        "Agents are numbered from 0 in the order of `agents`. "
        + (
            "Agent i is actor i"
            if not parts.shared
            else f"Agents 0, 1, … are actors {', '.join(map(str, parts.groups))}"
        )
        + ": T[name] is the tensor of that name at this index of its first axis. "
        "Vectors are rows: x @ kernel + bias.",
        "x = the agent's observation, observation_sizes[i] numbers"
        + (", after its one-hot number" if static.agent_id else "")
        + ". Tensors are padded to the widest agent: if they are longer, use only the first entries (of a kernel: the "
        "first inputs).",
    ]
    if static.layer_norm:
        steps += [
            f"norm(x, layer) = (x - mean(x)) / sqrt(var(x) + {LAYER_NORM_EPS}) * T[layer.scale] + T[layer.bias], with "
            "the population variance.",
            "x = norm(x, body.input_norm)",
        ]
    steps.append(
        f"For k = 0 to {last}: x = relu(x @ T[body.dense_k.kernel] + T[body.dense_k.bias])"
        + (", then x = norm(x, body.norm_k)" if static.layer_norm else "")
    )
    if static.recurrent:
        steps += [
            f"Hidden state h: {static.hidden_sizes[-1]} zeros at the start of an episode. "
            "a = x @ T[gru.input_kernel] + T[gru.input_bias] and b = h @ T[gru.recurrent_kernel] are three equal parts "
            "each: r = sigmoid(a0 + b0), z = sigmoid(a1 + b1), n = tanh(a2 + r * (b2 + T[gru.candidate_bias])). Keep "
            "the new h = (1 - z) * n + z * h for the next step.",
            "x = norm(h, gru_norm)" if static.layer_norm else "x = h",
        ]
    return [
        *steps,
        "y = the first action_sizes[i] entries of x @ T[head.kernel] + T[head.bias].",
        _last_step(spec.discrete),
    ]


def _last_step(discrete: bool) -> str:
    """From the output of the head to an action."""
    if discrete:
        return (
            f"Set y of an unavailable action to {UNAVAILABLE:g}. Greedy: the action (from 0) with the largest y. "
            "Sampled: an action with probability softmax(y)."
        )
    return (
        "Greedy: y. Sampled: y + sigmoid(T[log_std] / std_x_coef) * std_y_coef * standard normal numbers. "
        "The environment clips the action."
    )


def _flat(params: Params) -> dict[str, Any]:
    """Name such as `body.dense_0.kernel` → leaf."""
    return flatten_dict(jax.device_get(params)["params"], sep=".")


def _evaluation(run: Run, actors: Actors, best: bool, checkpoint: int | None) -> dict[str, Any]:
    """Scores of the actors in episodes that did not select the actors."""
    episodes = run.config.static.eval_episodes
    if best:
        try:
            metrics = absolute_metrics(run, KINDS, checkpoint, [actors.member])
        except (RunError, jax.errors.JaxRuntimeError) as error:
            return {"of": f"nothing: the best actors could not be evaluated again ({one_line(error)})"}
        scores = {name: float(values[0]) for name, values in metrics.items()}
        return {
            "of": f"at least {ABSOLUTE_FACTOR * episodes} episodes of each kind, which did not select these actors"
        } | scores
    stored = MetricStore(run.directory.metrics).last_iteration()
    if not episodes or not 0 < actors.iteration <= stored:
        return {"of": "nothing: there was no evaluation after this iteration"}
    row = run.metrics.isel(member=actors.member).sel(iteration=actors.iteration)
    scores = {str(name): float(row[name]) for name in row.data_vars if str(name).startswith("eval_")}
    return {"of": f"{episodes} episodes of each kind, in training after this iteration"} | scores
