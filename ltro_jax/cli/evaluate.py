"""`ltro eval`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ltro_jax.cli.options import add_cache_option, add_import_option, set_cache
from ltro_jax.config import SettingsError
from ltro_jax.process.paths import run_path, typed_path

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from ltro_jax.runs import Run

KINDS = ("greedy", "sampled")  # as in `training.evaluation`


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "eval",
        help="evaluate the newest or the best policies of a run",
        description="Evaluate the newest policy of each seed on whole episodes, greedily and by sampling, and save "
        "the result as RUN/evaluation.json. With --best, evaluate the policy of each seed's best evaluation on ten "
        "times as many episodes (the absolute metric of Gorsane et al. 2022) and save RUN/evaluation_best.json. The "
        "episodes differ from those of the evaluations during training. The mean and the interquartile mean exclude "
        "frozen members.",
    )
    parser.add_argument("path", type=run_path, metavar="RUN", help="run directory")
    parser.add_argument(
        "--best", action="store_true", help="evaluate the policy of each seed's best evaluation during training"
    )
    parser.add_argument(
        "--episodes",
        type=int,
        help="episodes per seed and kind of action (default 100; with --best ten times eval_episodes)",
    )
    parser.add_argument(
        "--actions", choices=(*KINDS, "both"), default="both", help="how the policies act (default both)"
    )
    parser.add_argument(
        "--env",
        choices=("pettingzoo",),
        help="also evaluate in the installed PettingZoo 1.22 (MPE with physics = pettingzoo), print the difference and "
        "save everything as RUN/evaluation_pettingzoo.json instead",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write JSON with settings and intervals; - prints it instead of the table"
    )
    add_import_option(parser)
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, print a table or JSON, and save the result in the run."""
    from ltro_jax.process.files import write_atomically
    from ltro_jax.runs import load_run
    from ltro_jax.runs.scoring import (
        ABSOLUTE_FACTOR,
        BEST_EVALUATION_FILE,
        EVALUATION_FILE,
        PETTINGZOO_FILE,
        evaluation_report,
        evaluation_summary,
        transfer_gap,
    )
    from ltro_jax.storage import RunError, json_text
    from ltro_jax.storage.errors import disk_errors

    if options.episodes is not None and options.episodes < 1:
        raise SettingsError(f"episodes = {options.episodes} is not allowed; it must be at least 1")
    if options.json not in (None, "-") and not typed_path(options.json).parent.is_dir():
        raise SettingsError(
            f"json = {options.json} is in a directory that does not exist; create it or choose another file"
        )
    set_cache(options)
    opened = load_run(options.path)
    kinds = KINDS if options.actions == "both" else (options.actions,)
    usual = ABSOLUTE_FACTOR * opened.config.static.eval_episodes if options.best else 100
    episodes = options.episodes or usual or 100
    results = {}
    if options.env:  # first, since it rejects runs
        from ltro_jax.runs.transfer import evaluate_in_pettingzoo

        results["pettingzoo"] = evaluate_in_pettingzoo(opened, episodes, best=options.best, kinds=kinds)
    results = {"own": opened.evaluate(episodes, best=options.best, kinds=kinds)} | results
    summaries = {name: evaluation_summary(opened, result) for name, result in results.items()}
    report = evaluation_report(opened, results["own"], summaries["own"])
    if options.env:
        report["pettingzoo"] = evaluation_report(opened, results["pettingzoo"], summaries["pettingzoo"])
        report["transfer_gap"] = transfer_gap(summaries["own"], summaries["pettingzoo"], kinds)
    if options.json == "-":
        print(json_text(report), end="")
    else:
        for name, result in results.items():
            _print_table(opened, result, summaries[name], kinds)
        for point in report.get("transfer_gap", ()):
            words = ", ".join(f"{kind} {_signed(point[f'eval_return_{kind}'])}" for kind in kinds)
            print(f"transfer gap (IQM in PettingZoo − IQM here) {point['point']}".rstrip() + f": {words}")
    if options.json not in (None, "-"):
        with disk_errors(f"cannot write {options.json}", "choose another file"):
            write_atomically(typed_path(options.json), json_text(report).encode())
    file = BEST_EVALUATION_FILE if options.best else EVALUATION_FILE
    try:
        opened.directory.write_json(PETTINGZOO_FILE if options.env else file, report)
    except RunError as error:  # the run may belong to another user
        print(f"ltro: the result is not saved in the run: {error}", file=sys.stderr)
    return 0


def _print_table(opened: Run, result: xr.Dataset, summary: list[dict[str, Any]], kinds: tuple[str, ...]) -> None:
    import numpy as np

    from ltro_jax.runs.scoring import counted_members

    static, episodes = opened.config.static, result.attrs["episodes"]
    actors = "the best policies up to iteration" if result.attrs["actors"] == "best" else "iteration"
    print(
        f"{static.algorithm} on {static.task}, {actors} {result.attrs['iteration']}, {episodes} episodes; "
        f"return = team reward ({result.attrs['team_reward']}) summed over the episode"
        + (f"; in {result.attrs['environment']}" if "environment" in result.attrs else "")
    )
    words = [opened.config.describe(member).removeprefix("seed ") for member in opened.config.members]
    width = max(8, *map(len, words))
    returns = np.stack([result[f"eval_return_{kind}"].values for kind in kinds], axis=1)
    print(f"{'seed':>{width}}" + "".join(f" {kind:>10}" for kind in kinds))
    for index, (member, row) in enumerate(zip(words, returns, strict=True)):
        frozen_at = result["frozen_at"].values[index]
        mark = f"  of iteration {result['best_iteration'].values[index]}" if "best_iteration" in result else ""
        mark += f"  frozen at iteration {frozen_at} (non-finite)" if frozen_at >= 0 else ""
        print(_row(member, row, width) + mark)
    counted = counted_members(result)
    if counted.any():
        print(_row("mean", returns[counted].mean(0), width))
    for point in summary:
        estimates = ", ".join(f"{kind} {_interval(point[f'eval_return_{kind}'])}" for kind in kinds)
        which = f"{point['members']} seeds {point['point']}".strip()
        print(f"IQM [95 % interval] of {which}: {estimates}")


def _row(name: str, values: np.ndarray, width: int) -> str:
    return f"{name:>{width}}" + "".join(f" {value:>10.2f}" for value in values)


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2f}"


def _interval(estimate: dict[str, float | None]) -> str:
    if estimate["iqm"] is None:
        return "none"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.2f}, {estimate['high']:.2f}]"
    return f"{estimate['iqm']:.2f}{interval}"
