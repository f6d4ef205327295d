"""A golden file: inputs, recorded outputs and hyper-parameters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ltro_jax.config import Hypers
from ltro_jax.types import ValueNorm

HYPERPARAMETERS = "hyperparameters_json"
PRECISIONS = {"out64": np.dtype(np.float64), "out": np.dtype(np.float32)}  # prefix of the outputs → precision

DEBIAS_FLOOR = 1e-5  # the reference divides its biased averages by no less

# ours → theirs, where the name or the meaning of a hyper-parameter differs
HYPER_NAMES = {
    "actor_lr": "lr",
    "clip_eps": "clip_param",
    "ent_coef": "entropy_coef",
    "adam_eps": "opti_eps",
}


class Fixture(NamedTuple):
    """One `*.npz` file in memory."""

    name: str  # without .npz
    arrays: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> "Fixture":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        settings = json.loads(str(arrays.pop(HYPERPARAMETERS))) if HYPERPARAMETERS in arrays else {}
        return cls(path.stem, arrays, settings)

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def get(self, name: str, dtype: Any) -> np.ndarray:
        """An input as floats of `dtype`."""
        return self.arrays[name].astype(dtype)

    def squeezed(self, name: str, dtype: Any, axis: int = -1) -> np.ndarray:
        """An input without one axis of length 1."""
        return np.squeeze(self.get(name, dtype), axis=axis)

    def flags(self, name: str) -> np.ndarray:
        """A 0/1 input as bool."""
        return self.arrays[name] > 0.5

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays whose name starts with `prefix.`, without it."""
        return {
            name.removeprefix(prefix + "."): array
            for name, array in self.arrays.items()
            if name.startswith(prefix + ".")
        }

    def value_norm(self, dtype: Any, prefix: str = "") -> ValueNorm:
        """The state of the value normaliser `{prefix}value_norm`, from the reference's biased averages."""
        fields = ("running_mean", "running_mean_sq", "debiasing_term")
        biased_mean, biased_mean_sq, debias = (
            self.squeezed(f"{prefix}value_norm.{name}", np.float64) for name in fields
        )
        divisor = np.maximum(debias, DEBIAS_FLOOR)
        mean = biased_mean / divisor
        nothing = np.zeros_like(mean)
        state = ValueNorm(mean, biased_mean_sq / divisor - mean**2, debias, nothing, nothing, nothing)  # type: ignore[arg-type]
        return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), state)

    def hypers(self, dtype: Any, **settings: float) -> Hypers:
        """Our hyper-parameters, from the file where it names them; `settings` go first."""
        values = {}
        for ours in Hypers.__dataclass_fields__:
            default = getattr(Hypers(), ours)
            value = settings.get(ours, self.settings.get(HYPER_NAMES.get(ours, ours), default))
            values[ours] = np.asarray(value, dtype)
        return Hypers(**values)

    def require(self, **settings: Any) -> None:
        """Refuse a file recorded under settings that ltro_jax does not have.

        Raises:
            ValueError: a setting of the file differs.
        """
        for name, value in settings.items():
            if name in self.settings and self.settings[name] != value:
                raise ValueError(f"{name} = {self.settings[name]!r}, only {value!r} can be replayed")
