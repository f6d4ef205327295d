"""`ltro status`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ltro_jax.process.interrupts import STOPPED, when_ended
from ltro_jax.process.paths import run_path

if TYPE_CHECKING:
    from ltro_jax.watch.status import RunStatus


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "status",
        help="show the progress of a run or a sweep, also while it trains",
        description="Show iteration, rate, time left, newest metrics, checkpoint and frozen members without "
        "disturbing the training process. Metrics are those stored with the last checkpoint, as the IQM over the "
        "members of each point.",
    )
    parser.add_argument("path", type=run_path, metavar="RUN", help="directory of a run or a sweep")
    parser.add_argument("--metric", nargs="+", default=[], metavar="NAME", help="metrics to show (default: returns)")
    parser.add_argument(
        "--json", action="store_true", help="print everything, including values of each member, as one line of JSON"
    )
    parser.add_argument("--watch", action="store_true", help="repeat until training finishes or Ctrl-C")
    parser.add_argument(
        "--interval", type=float, default=5.0, metavar="SECONDS", help="time between repetitions (default 5)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the status; return 130 if Ctrl-C ends --watch."""
    from ltro_jax.runs.sweep import is_sweep
    from ltro_jax.watch.status import statuses

    if options.watch:
        when_ended("")  # Ctrl-C is the usual end

    try:
        known: dict[Any, Any] = {}
        while True:
            parts = statuses(options.path, options.metric, known)
            if options.json:
                records = [asdict(part) for part in parts]
                print(json.dumps({"parts": records} if is_sweep(options.path) else records[0]), flush=True)
            else:
                print("\n".join(_sweep_lines(parts) if is_sweep(options.path) else _run_lines(parts[0])), flush=True)
            if not options.watch or all(part.state == "finished" for part in parts):
                return 0
            time.sleep(max(0.1, options.interval))
            if not options.json:
                print()
    except KeyboardInterrupt:
        return STOPPED


def _run_lines(status: RunStatus) -> list[str]:
    """The lines about a run."""
    lines = [
        f"{status.path}: {status.state}{f' (by {status.held_by})' if status.held_by else ''}",
        f"  {status.algorithm} on {status.task}, {status.members} members",
        f"  {_position(status)}",
    ]
    if status.checkpoint is not None and status.checkpoint_age is not None:
        lines.append(f"  checkpoint of iteration {status.checkpoint}, {_ago(status.checkpoint_age)}")
    for point in status.points:
        words = f"  {point['point']}" if point["point"] else ""
        lines.append(f"  iteration {status.metrics_at}{words}: {_numbers(point)}")
    frozen = ", ".join(f"{member['member']} (iteration {member['iteration']})" for member in status.frozen)
    return [*lines, *([f"  frozen (non-finite): {frozen}"] if frozen else [])]


def _sweep_lines(parts: Sequence[RunStatus]) -> list[str]:
    """The number of runs in each state, then one line per run."""
    counts = {state: sum(part.state == state for part in parts) for state in dict.fromkeys(p.state for p in parts)}
    lines = [f"{len(parts)} runs: {', '.join(f'{count} {state}' for state, count in counts.items())}"]
    for status in parts:
        words = status.problem or _position(status)
        frozen = f", {len(status.frozen)} of {status.members} members frozen" if status.frozen else ""
        lines.append(f"  {status.state:<10} {status.path}: {words}{frozen}")
    return lines


def _position(status: RunStatus) -> str:
    from ltro_jax.runs.progress import short

    parts = [
        f"iteration {status.iteration}/{status.num_iterations}",
        f"{short(status.env_steps)} of {short(status.total_env_steps)} env steps",
    ]
    if status.steps_per_second is not None and status.seconds_left is not None:
        parts.append(f"{short(status.steps_per_second)} steps/s")
        parts.append(f"{timedelta(seconds=round(status.seconds_left))} left")
    elif status.state == "running":
        parts.append("compiling or in its first device call")
    if status.state == "running" and status.seconds_since_sign is not None:
        parts.append(f"last sign of life {_ago(status.seconds_since_sign)}")
    return ", ".join(parts)


def _numbers(point: Mapping[str, Any]) -> str:
    values = {name: value for name, value in point.items() if name != "point"}
    return ", ".join(f"{name} {'–' if value is None else f'{value:.4g}'}" for name, value in values.items())


def _ago(seconds: float) -> str:
    return f"{timedelta(seconds=round(seconds))} ago"
