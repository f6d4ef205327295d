"""What the host tells the user between device calls, and leaves for readers in other processes."""

import json
import shutil
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ltro_jax.process.files import remove_leftovers, write_atomically
from ltro_jax.process.streams import emit, is_terminal, was_lost

PROGRESS_FILE = "progress.json"  # in the run directory: the latest record, for `ltro status`

Mode = bool | Literal["json"]  # lines of text, nothing, or a JSON object on each line


def short(number: float) -> str:
    """Three digits and a unit: 1234567 → 1.23M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"


def read_progress(directory: Path) -> dict[str, Any] | None:
    """The latest record of a run, which may be in the middle of being written; None = there is none."""
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
    """A record of each device call: one line, rewritten in place on a terminal, else printed every few seconds.

    If standard output fails (a closed pipe, a full disk), one warning is printed and nothing else changes.

    As JSON every record is printed: `{"event": "progress", "iteration": …, …}`, and what is said besides as
    `{"event": "message", "text": …}`. The latest record is kept in `file`, written at most once a second.
    """

    def __init__(
        self,
        mode: Mode,
        num_iterations: int = 0,
        steps_per_iteration: int = 0,
        num_members: int = 0,
        file: Path | None = None,
    ):
        self._mode = mode
        self._total = num_iterations
        self._steps = steps_per_iteration
        self._members = num_members
        self._file = file
        self._terminal = is_terminal(sys.stdout)
        self._busy, self._done, self._printed, self._kept = 0.0, 0, 0.0, 0.0
        self._open_line = False

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._mode == "json":
            self._print(json.dumps({"event": "message", "text": text}) + "\n")
        elif self._mode:
            self._end_line()
            self._print(text + "\n")

    def warn(self, text: str) -> None:
        """A sentence on stderr, also where nothing else is printed."""
        self._end_line()
        emit(f"ltro: {text}\n", sys.stderr)

    def began(self, iteration: int) -> None:
        """Before the first device call of this process."""
        self._keep(self._record(iteration))

    def advanced(self, iteration: int, count: int, seconds: float, rows: xr.Dataset) -> None:
        """After a device call of `count` iterations that took `seconds`."""
        self._busy += seconds
        self._done += count
        record = self._record(iteration, rows)
        last = iteration >= self._total
        if last or time.monotonic() - self._kept >= 1.0:
            self._keep(record)
        if self._mode == "json":
            self._print(json.dumps(record) + "\n")
        elif self._mode and (self._terminal or last or time.monotonic() - self._printed >= 5.0):
            self._printed = time.monotonic()
            if self._terminal:  # its width is asked each time, and its last column makes some of them wrap
                self._print(f"\r\033[K{_line(record, shutil.get_terminal_size().columns - 1)}")
            else:
                self._print(_line(record) + "\n")
            self._open_line = self._terminal

    def close(self) -> None:
        """End a line under way."""
        self._end_line()

    def _record(self, iteration: int, rows: xr.Dataset | None = None) -> dict[str, Any]:
        """Where the run is: plain values for JSON, None where there is no number (yet)."""
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
            with suppress(OSError):  # training does not hang on it
                remove_leftovers(self._file.parent, self._file.name)
                write_atomically(self._file, (json.dumps(record) + "\n").encode(), durable=False)

    def _end_line(self) -> None:
        if self._open_line:
            self._print("\n")
        self._open_line = False

    def _print(self, text: str) -> None:
        known = was_lost()
        reason = emit(text, sys.stdout)
        if reason and not known:
            emit(f"ltro: standard output takes nothing more ({reason}); training goes on\n", sys.stderr)


def _line(record: dict[str, Any], width: int | None = None) -> str:
    """The record in words; in at most `width` characters what says least is left out."""

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
    for name in ("steps", "rate", "eval", "frozen", "return", "left"):
        if width is not None and len(", ".join(parts.values())) > width:
            parts.pop(name, None)
    return ", ".join(parts.values())[: None if width is None else max(1, width)]


def _mean(values: xr.DataArray) -> float | None:
    """Over the finite ones."""
    finite = values.values[np.isfinite(values.values)]
    return float(finite.mean()) if finite.size else None
