"""`ltro sweep`."""

import argparse
from collections.abc import Sequence
from typing import Any

from ltro_jax.cli.options import (
    add_cache_option,
    add_progress_options,
    add_settings,
    given_settings,
    progress_mode,
    set_cache,
)
from ltro_jax.config import SettingsError
from ltro_jax.process.paths import typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "sweep",
        help="train seeds × a grid of settings",
        description="Train every combination of the grid's values with every seed. Hyper-parameters share one compiled "
        "program; each combination of static settings is a run of its own in the queue. The same command goes on with "
        "a sweep that was stopped, and so does `ltro resume`.",
        epilog="example: ltro sweep mpe/simple_spread --seeds 0:16 --grid actor_lr=3e-4,5e-4 factor_clip=0.5,1,inf",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("preset", metavar="PRESET", help="task to train on, e.g. mpe/simple_spread")
    parser.add_argument(
        "--grid",
        nargs="+",
        default=[],
        metavar="NAME=A,B",
        help="settings and their values; separate values that contain commas with semicolons",
    )
    parser.add_argument(
        "--out", type=typed_path, metavar="DIR", help="directory of the sweep (default: runs/sweep-<time>)"
    )
    parser.add_argument("--metric", help="what members are ranked by (default: greedy evaluation, else episode return)")
    parser.add_argument("--dry-run", "--dry_run", action="store_true", help="say what it would take, and train nothing")
    add_progress_options(parser)
    processes = parser.add_argument_group("several processes, each on its own devices, with one file system")
    processes.add_argument(
        "--distributed", action="store_true", help="join them as JAX detects them (SLURM, Cloud TPU, GKE)"
    )
    processes.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where JAX cannot detect it")
    processes.add_argument("--num_processes", type=int, metavar="P")
    processes.add_argument("--process_id", type=int, metavar="p")
    add_cache_option(parser)
    add_settings(parser, leave_out=("task", "grid"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, rank and write tables; 130 when stopped by Ctrl-C before the end."""
    import jax

    from ltro_jax.presets import preset_or_defaults
    from ltro_jax.runs.forecast import forecast
    from ltro_jax.runs.progress import Progress
    from ltro_jax.runs.sweep import plan, refuse_impossible, sweep, wait_for_all
    from ltro_jax.runs.sweep_results import refuse_unknown_score, write_tables

    set_cache(options)
    given = options.coordinator, options.num_processes, options.process_id
    if options.distributed or given != (None, None, None):
        try:
            jax.distributed.initialize(*given)  # before anything uses a device; None = as JAX detects it
        except (RuntimeError, ValueError) as error:
            raise SettingsError(
                f"the processes could not be joined ({error}); give --coordinator, --num_processes and --process_id"
            ) from error
    settings = given_settings(options)
    config = preset_or_defaults(options.preset, settings.pop("algorithm", "clip_happo"), **settings)
    grid = parse_grid_words(options.grid)
    parts = plan(config, grid, jax.process_count())
    if options.metric:
        refuse_unknown_score(options.metric, next(iter(parts.values())))
    if options.dry_run:
        refuse_impossible(parts)
        for name, part in parts.items():
            print(forecast(name, part))
        return 0
    mode = progress_mode(options)
    found = sweep(config, grid, options.out, progress=mode, command=options.command_line)
    try:
        if jax.process_index() == 0:
            ranking = write_tables(found, options.metric)
            table = f"{found.path / 'table.csv'} has every member; scores are means over the last fifth of a run"
            Progress(mode).say(f"{ranking}\n{table}")
    finally:
        wait_for_all("the tables are written")  # JAX ends a process whose coordinator stays away for long
    return 0 if found.finished else 130


def parse_grid_words(words: Sequence[str]) -> dict[str, list[str]]:
    """`["actor_lr=3e-4,5e-4", "hidden_sizes=64,64;128,128"]` → name → values as text.

    Raises:
        SettingsError: a word that is no name with values.
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.replace("-", "_")
        parts = values.split(";" if ";" in values else ",")
        if not equals or not all(map(str.strip, parts)):
            raise SettingsError(f"grid = {word!r} is not one name with its values, as in actor_lr=3e-4,5e-4")
        if name in grid:
            raise SettingsError(f"grid = {word!r} names {name} for the second time; give all its values at once")
        grid[name] = parts
    return grid
