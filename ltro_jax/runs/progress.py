"""The progress of a run, for the user between device calls and for readers in other processes."""

import json
import sys
import time
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ltro_jax.process.files import remove_leftovers, write_atomically
from ltro_jax.process.streams import emit
from ltro_jax.runs.progress_views import Mode, Update, make_view

__all__ = ["PROGRESS_FILE", "Mode", "Progress", "read_progress", "short"]

PROGRESS_FILE = "progress.json"  # in the run directory: the latest record, for `ltro status`


def short(number: float) -> str:
    """Three digits and a unit: 1234567 → 1.23M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"


def read_progress(directory: Path) -> dict[str, Any] | None:
    """The latest record of a run, which another process may be writing; None = there is none."""
    for _ in range(3):
        try:
            record = json.loads((directory / PROGRESS_FILE).read_bytes())
            if isinstance(record, dict) and record.keys() >= {"time", "iteration", "steps_per_second", "seconds_left"}:
                return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            time.sleep(0.05)
    return None


class Progress:
    """A record of each device call, shown as `mode` and the standard output allow.

    On a terminal a bar is redrawn in place; in a notebook an output is updated; elsewhere a line is printed every few
    seconds. As JSON every record is printed: `{"event": "progress", "iteration": …, …}`, and every message as
    `{"event": "message", "text": …}`. If standard output fails (a closed pipe, a full disk), one warning is printed
    and nothing else changes. The latest record is kept in `file`, written at most once a second.
    """

    def __init__(
        self,
        mode: Mode,
        num_iterations: int = 0,
        steps_per_iteration: int = 0,
        num_members: int = 0,
        file: Path | None = None,
    ):
        self._total = num_iterations
        self._steps = steps_per_iteration
        self._members = num_members
        self._file = file
        self._view = make_view(mode)
        self._busy, self._done, self._kept = 0.0, 0, 0.0

    def say(self, text: str) -> None:
        """Show a message."""
        self._view.say(text)

    def warn(self, text: str) -> None:
        """Print a sentence on stderr, also where nothing else is printed."""
        self._view.end_line()
        emit(f"ltro: {text}\n", sys.stderr)

    def stage(self, label: str) -> AbstractContextManager[None]:
        """Show `label` during a stage other than training: "compiling", "saving"."""
        return self._view.stage(label)

    def began(self, iteration: int) -> None:
        """Record the start, before the first device call of this process."""
        self._keep(self._record(iteration))

    def advanced(self, iteration: int, count: int, seconds: float, rows: xr.Dataset) -> None:
        """Record a device call of `count` iterations that took `seconds`."""
        self._busy += seconds
        self._done += count
        record = self._record(iteration, rows)
        if iteration >= self._total or time.monotonic() - self._kept >= 1.0:
            self._keep(record)
        self._view.show(Update(record, partial(_line, record), iteration / self._total, rows))

    def close(self) -> None:
        """End an open line and show the last state."""
        self._view.close()

    def _record(self, iteration: int, rows: xr.Dataset | None = None) -> dict[str, Any]:
        """Plain values for JSON; None where a value is not known yet."""
        rate = self._done * self._steps * self._members / self._busy if self._done else None
        left = (self._total - iteration) * self._busy / self._done if self._done else None
        record: dict[str, Any] = {
            "event": "progress",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "iteration": iteration,
            "num_iterations": self._total,
            "env_steps": iteration * self._steps,  # of each member
            "members": self._members,
            "steps_per_second": rate,  # of all members
            "seconds_left": left,
        }
        if rows is not None:
            record["episode_return"] = _mean(rows["episode_return"])
            if "eval_return_greedy" in rows:
                record["eval_return_greedy"] = _mean(rows["eval_return_greedy"][:, -1])
            record["frozen"] = int(np.sum(~rows["finite"].values[:, -1]))
        return record

    def _keep(self, record: dict[str, Any]) -> None:
        self._kept = time.monotonic()
        if self._file:
            with suppress(OSError):  # training does not depend on it
                remove_leftovers(self._file.parent, self._file.name)
                write_atomically(self._file, (json.dumps(record) + "\n").encode(), durable=False)


def _line(record: dict[str, Any], width: int | None = None) -> str:
    """The record in words; parts are left out, the least important first, until it fits `width` characters."""

    def number(name: str) -> str:
        return "nan" if record[name] is None else f"{record[name]:.2f}"

    parts = {
        "iteration": f"iteration {record['iteration']}/{record['num_iterations']}",
        "steps": f"{short(record['env_steps'])} env steps × {record['members']} members",
        "rate": f"{short(record['steps_per_second'])} steps/s",
        "return": f"return {number('episode_return')}",
    }
    if "eval_return_greedy" in record:
        parts["eval"] = f"eval {number('eval_return_greedy')}"
    if record["frozen"]:
        parts["frozen"] = f"{record['frozen']} members frozen (non-finite)"
    parts["left"] = f"{timedelta(seconds=round(record['seconds_left']))} left"
    for name in ("steps", "eval", "frozen", "rate", "return", "left"):
        if width is not None and len(", ".join(parts.values())) > width:
            parts.pop(name, None)
    return ", ".join(parts.values())[: None if width is None else max(1, width)]


def _mean(values: xr.DataArray) -> float | None:
    """The mean of the finite values; None if there are none."""
    finite = values.values[np.isfinite(values.values)]
    return float(finite.mean()) if finite.size else None
