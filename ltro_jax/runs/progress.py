"""What the host tells the user between device calls."""

import sys
import time
from datetime import timedelta

import numpy as np
import xarray as xr


def short(number: float) -> str:
    """Three digits and a unit: 1234567 → 1.23M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"


class Progress:
    """One line for each device call: rewritten in place on a terminal, else printed at most every few seconds."""

    def __init__(self, enabled: bool, num_iterations: int, steps_per_iteration: int, num_members: int):
        self._enabled = enabled
        self._total = num_iterations
        self._steps = steps_per_iteration
        self._members = num_members
        self._terminal = sys.stdout.isatty()
        self._busy, self._done, self._printed = 0.0, 0, 0.0
        self._open_line = False

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._enabled:
            self._end_line()
            print(text, flush=True)

    def advanced(self, iteration: int, count: int, seconds: float, rows: xr.Dataset) -> None:
        """After a device call of `count` iterations that took `seconds`."""
        self._busy += seconds
        self._done += count
        if not self._enabled:
            return
        last = iteration >= self._total
        if not (self._terminal or last or time.monotonic() - self._printed >= 5.0):
            return
        self._printed = time.monotonic()
        rate = self._done * self._steps * self._members / self._busy
        left = (self._total - iteration) * self._busy / self._done
        parts = [
            f"iteration {iteration}/{self._total}",
            f"{short(iteration * self._steps)} env steps × {self._members} members",
            f"{short(rate)} steps/s",
            f"return {_mean(rows['episode_return']):.2f}",
        ]
        if "eval_return_greedy" in rows:
            parts.append(f"eval {_mean(rows['eval_return_greedy'][:, -1]):.2f}")
        failed = int(np.sum(~rows["finite"].values[:, -1]))
        if failed:
            parts.append(f"{failed} members frozen (non-finite)")
        line = ", ".join([*parts, f"{timedelta(seconds=round(left))} left"])
        print(f"\r\033[K{line}" if self._terminal else line, end="" if self._terminal else "\n", flush=True)
        self._open_line = self._terminal

    def close(self) -> None:
        """End a line under way."""
        self._end_line()

    def _end_line(self) -> None:
        if self._open_line:
            print(flush=True)
        self._open_line = False


def _mean(values: xr.DataArray) -> float:
    finite = values.values[np.isfinite(values.values)]
    return float(finite.mean()) if finite.size else float("nan")
