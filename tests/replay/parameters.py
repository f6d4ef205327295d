"""Network parameters between the layout of the golden files (torch) and ours (flax)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ltro_jax.types import Params
from replay.two_bias_gru import TwoBiasGRU

LEAVES = {"weight": "kernel", "bias": "bias", "scale": "scale"}
GRU_LEAVES = {
    "weight_ih": "input_kernel",
    "bias_ih": "input_bias",
    "weight_hh": "recurrent_kernel",
    "bias_hh": "recurrent_bias",
}


def flax_path(name: str) -> tuple[str, ...]:
    """`dense0.weight` → `(body, dense_0, kernel)`."""
    if name == "log_std":
        return (name,)
    if name.startswith("gru."):
        return ("gru", GRU_LEAVES[name.removeprefix("gru.")])
    match = re.fullmatch(r"(obs_norm|dense\d+|norm\d+|gru_norm|head)\.(weight|bias|scale)", name)
    if match is None:
        raise KeyError(f"unknown parameter {name!r}")
    layer, leaf = match[1], LEAVES[match[2]]
    if layer in ("head", "gru_norm"):
        return (layer, leaf)
    if layer == "obs_norm":
        return ("body", "input_norm", leaf)
    return ("body", re.sub(r"(\d+)", r"_\1", layer), leaf)


def hidden_sizes(arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Widths of the body's layers."""
    count = sum(re.fullmatch(r"dense\d+\.weight", name) is not None for name in arrays)
    return tuple(arrays[f"dense{index}.weight"].shape[0] for index in range(count))


def core(arrays: Mapping[str, np.ndarray]) -> type[TwoBiasGRU] | None:
    """The memory of the networks: the recording's own GRU, or None when feed-forward."""
    return TwoBiasGRU if "gru.weight_hh" in arrays else None


def input_size(arrays: Mapping[str, np.ndarray]) -> int:
    return arrays["obs_norm.scale"].shape[0]


def output_size(arrays: Mapping[str, np.ndarray]) -> int:
    return arrays["head.bias"].shape[0]


def to_flax(networks: Sequence[Mapping[str, np.ndarray]], dtype: Any) -> Params:
    """A stack of networks, leaves `[P, …]`; unlike sizes are padded with zeros to the widest."""
    flat = [{flax_path(name): _transposed(name, array) for name, array in arrays.items()} for arrays in networks]
    stack = {}
    for path in flat[0]:
        leaves = [network[path] for network in flat]
        shape = np.max([leaf.shape for leaf in leaves], axis=0)
        padded = [np.pad(leaf, [(0, n - m) for n, m in zip(shape, leaf.shape, strict=True)]) for leaf in leaves]
        stack[path] = np.stack(padded).astype(dtype)
    return {"params": unflatten_dict(stack)}


def to_torch(params: Params, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One network's parameters under the names and with the true sizes of `like`."""
    flat = flatten_dict(params["params"])
    named = {}
    for name, array in like.items():
        leaf = _transposed(name, flat[flax_path(name)])
        named[name] = leaf[tuple(slice(size) for size in array.shape)]
    return named


def one(stack: Any, index: int) -> Any:
    """Network `index` of a stack."""
    return jax.tree.map(lambda leaf: leaf[index], stack)


def _transposed(name: str, array: Any) -> Any:
    return array.T if ".weight" in name else array
