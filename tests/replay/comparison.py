"""Recomputed against recorded numbers: which error counts, and how large it may be."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

TOLERANCE_X64 = 1e-9  # relative 2-norm
TOLERANCE_X64_SOLVED = 1e-7  # what conjugate gradients have solved for
SOLVED = {"step_dir", "fvp_of_step_dir"}
PARAMETERS = {"params", "init_params", "final_params"}
ABSOLUTE = {"surrogate_loss_before"}  # truly 0 for the first agent
# means of terms that cancel, end of the name → 2-norm below which the error is absolute; the first is 0 before any step
NEARLY_ZERO = {".policy_loss": 1e-4, ".mean_advantage": 1.0, "reported.advantage": 1.0, "per_epoch.kl": 1.0}

# float32: a multiple of the rounding that the recording run itself showed, listed in float32_vs_float64.json. That is
# one sample of rounding and no bound on it, hence the floor; float64 is the sharp test.
ROUNDING_FACTOR = 30
ROUNDING_UNLISTED = 1e-6  # taken for an array that is not listed
FLOOR = 1e-5

UNAVAILABLE_BELOW = -1e9  # masked logits: −1e10 would drown all others in a norm
Rounding = Mapping[str, Mapping[str, float]]


class Tolerance(NamedTuple):
    """How large an error may be."""

    limit: float
    absolute: bool  # largest absolute error; else relative 2-norm error


class Comparison(NamedTuple):
    """One recorded array and what became of it."""

    name: str
    max_abs: float
    relative: float
    tolerance: Tolerance
    passed: bool
    remark: str = ""

    def __str__(self) -> str:
        kind = "abs" if self.tolerance.absolute else "rel"
        line = (
            f"{self.name}  max_abs {self.max_abs:.2e}  rel {self.relative:.2e}  "
            f"tolerance {self.tolerance.limit:.1e} {kind}  {'pass' if self.passed else 'FAIL'}"
        )
        return f"{line}  ({self.remark})" if self.remark else line


def failure(name: str, remark: str) -> Comparison:
    """A failure that has no numbers."""
    return Comparison(name, np.nan, np.nan, Tolerance(0.0, True), False, remark)


def tolerance_of(file: str, output: str, precision: str, rounding: Rounding) -> Tolerance:
    """The tolerance of `output` of `file` (both without prefix and suffix); `precision` is `out64` or `out`."""
    parts = set(output.split("."))
    absolute = bool(parts & ABSOLUTE)
    if precision == "out64":
        return Tolerance(TOLERANCE_X64_SOLVED if parts & SOLVED else TOLERANCE_X64, absolute)
    absolute = absolute or bool(parts & PARAMETERS)
    return Tolerance(max(ROUNDING_FACTOR * _listed_rounding(rounding.get(file, {}), output), FLOOR), absolute)


def _listed_rounding(listed: Mapping[str, float], output: str) -> float:
    """The entry of an output: agents and epochs share one, and so do the parameters of a network where it has one."""
    listed = {_without_numbers(key.removesuffix(" (max abs)")): entry for key, entry in listed.items()}
    parts = _without_numbers(output).split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    entry = next((listed[prefix] for prefix in prefixes if prefix in listed), ROUNDING_UNLISTED)
    series = re.sub(r"^reported\.order_\d+_", "per_epoch.", output)  # of which it is the last number, no more exact
    return entry if series == output else max(entry, listed.get(series, entry))


def _without_numbers(name: str) -> str:
    """`agent2.returns` and `agentK.returns` → `returns`."""
    return re.sub(r"\b(agent(\d+|K)|epoch\d+)\.", "", name)


def compare(name: str, actual: np.ndarray, expected: np.ndarray, tolerance: Tolerance) -> Comparison:
    """Compare one array; its shape must be the recorded one, and whole numbers must be equal."""
    if actual.shape != expected.shape:
        return failure(name, f"shape {actual.shape}, recorded {expected.shape}")
    exact = not np.issubdtype(expected.dtype, np.floating)
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    masked = expected < UNAVAILABLE_BELOW
    max_abs = float(np.max(np.abs(actual - expected), initial=0.0, where=~masked))
    relative = float(np.max([_relative(actual, expected, masked), _relative(actual, expected, ~masked)]))
    if exact:
        return Comparison(name, max_abs, relative, Tolerance(0.0, True), max_abs == 0.0 and relative == 0.0)
    absolute_below = max((norm for end, norm in NEARLY_ZERO.items() if name.endswith(end)), default=0.0)
    tolerance = Tolerance(tolerance.limit, tolerance.absolute or bool(np.linalg.norm(expected) < absolute_below))
    error = max_abs if tolerance.absolute else relative
    return Comparison(name, max_abs, relative, tolerance, bool(error <= tolerance.limit))  # NaN fails


def _relative(actual: np.ndarray, expected: np.ndarray, where: np.ndarray) -> float:
    """2-norm of the error over the 2-norm of what is expected; where that is 0, the error itself."""
    with np.errstate(invalid="ignore"):  # infinities become NaN, which no tolerance admits
        error, norm = np.linalg.norm((actual - expected)[where]), np.linalg.norm(expected[where])
        return float(error / norm if norm > 0 else error)
