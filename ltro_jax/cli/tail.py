"""`ltro tail`."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from ltro_jax.config import SettingsError
from ltro_jax.process.interrupts import STOPPED, when_ended
from ltro_jax.process.paths import run_path

if TYPE_CHECKING:
    from ltro_jax.runs import Run
    from ltro_jax.watch.tail import TailRow


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "tail",
        help="print the newest metrics of a run or a sweep, also while it trains",
        description="Print one line for each iteration and point with a value of any of the metrics, as the IQM over "
        "the members. Metrics are stored with each checkpoint.",
        epilog="example: ltro tail runs/spread --metric episode_return position/adv_variance_used/2 --follow",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=run_path, metavar="RUN", help="directory of a run or a sweep")
    parser.add_argument("--metric", nargs="+", default=["episode_return"], metavar="NAME", help="metrics; "
        "agent/entropy/0 selects one agent or position (default episode_return)")  # fmt: skip
    parser.add_argument(
        "-n", "--lines", type=int, default=10, help="number of newest iterations to start with (default 10)"
    )
    parser.add_argument("--follow", action="store_true", help="continue until training finishes or Ctrl-C")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the rows; return 130 if Ctrl-C ends --follow."""
    from ltro_jax.runs.sweep import is_sweep, open_runs

    if options.lines < 1:
        raise SettingsError(f"lines = {options.lines} is not allowed; it must be at least 1")
    if options.follow:
        when_ended("")  # Ctrl-C is the usual end
    printed: dict[str, int] = {}  # run → last iteration
    try:
        while True:
            finished = _finished(options.path)  # checked before reading: later rows come in the next pass
            for opened in open_runs([options.path]):
                label = str(opened.path) if is_sweep(options.path) else ""
                rows = _new_rows(opened, options, printed)
                for row in rows:
                    print(_line(label, row), flush=True)
                before = printed.get(str(opened.path), 0)
                printed[str(opened.path)] = max([row.iteration for row in rows], default=before)
            if finished or not options.follow:
                return 0
            time.sleep(1.0)
    except KeyboardInterrupt:
        return STOPPED


def _new_rows(opened: Run, options: argparse.Namespace, printed: dict[str, int]) -> list[TailRow]:
    from ltro_jax.watch.tail import tail

    count = None if str(opened.path) in printed else options.lines
    return tail(opened, options.metric, count, printed.get(str(opened.path), 0))


def _finished(path: str) -> bool:
    from ltro_jax.runs.sweep import is_sweep, load_sweep, open_runs

    return load_sweep(path).finished if is_sweep(path) else open_runs([path])[0].finished


def _line(label: str, row: TailRow) -> str:
    numbers = "  ".join(f"{name} {'–' if value is None else f'{value:.5g}'}" for name, value in row.values.items())
    return "  ".join(filter(None, [label, row.point, f"iteration {row.iteration}  env_steps {row.env_steps}", numbers]))
