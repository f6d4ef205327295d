"""`ltro sweep`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from ltro_jax.runs.sweep import Sweep


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "sweep",
        help="train seeds × a grid of settings",
        description="Train every combination of grid values with every seed. Hyper-parameters share one compiled "
        "program; each combination of static settings is a separate run in a queue. To resume a stopped sweep, repeat "
        "the command or use `ltro resume`.",
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
    parser.add_argument("--out", type=typed_path, metavar="DIR", help="sweep directory (default: runs/sweep-<time>)")
    parser.add_argument(
        "--metric", help="metric that ranks the members (default: greedy evaluation return, else episode return)"
    )
    parser.add_argument("--dry-run", "--dry_run", action="store_true", help="estimate time and memory without training")
    add_progress_options(parser)
    _add_process_options(parser)
    add_cache_option(parser)
    add_settings(parser, leave_out=("task", "grid"))
    parser.set_defaults(run=run)


def _add_process_options(parser: argparse.ArgumentParser) -> None:
    processes = parser.add_argument_group("several processes with separate devices and a shared file system")
    processes.add_argument(
        "--distributed", action="store_true", help="join the processes that JAX detects (SLURM, Cloud TPU, GKE)"
    )
    processes.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0 if JAX cannot detect it")
    processes.add_argument("--num_processes", type=int, metavar="P")
    processes.add_argument("--process_id", type=int, metavar="p")


def run(options: argparse.Namespace) -> int:
    """Train, rank and write tables; return 130 if Ctrl-C stops the training before its end."""
    import jax

    from ltro_jax.presets import preset_or_defaults
    from ltro_jax.runs.forecast import forecast
    from ltro_jax.runs.sweep import plan, refuse_impossible, sweep
    from ltro_jax.runs.sweep_results import refuse_unknown_score

    set_cache(options)
    _join_processes(options)
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
    result = sweep(config, grid, options.out, progress=progress_mode(options), command=options.command_line)
    _write_results(result, options)
    return 0 if result.finished else 130


def _join_processes(options: argparse.Namespace) -> None:
    """Start `jax.distributed` if the options ask for it."""
    import jax

    given = options.coordinator, options.num_processes, options.process_id
    if options.distributed or given != (None, None, None):
        try:
            jax.distributed.initialize(*given)  # before anything uses a device; None = detected by JAX
        except (RuntimeError, ValueError) as error:
            raise SettingsError(
                f"cannot join the processes ({error}); give --coordinator, --num_processes and --process_id"
            ) from error


def _write_results(result: "Sweep", options: argparse.Namespace) -> None:
    """Write the tables and print the ranking in process 0; the others wait."""
    import jax

    from ltro_jax.runs.progress import Progress
    from ltro_jax.runs.sweep import wait_for_all
    from ltro_jax.runs.sweep_results import write_tables

    try:
        if jax.process_index() == 0:
            ranking = write_tables(result, options.metric)
            table = f"{result.path / 'table.csv'} lists every member; scores are means over the last fifth of a run"
            Progress(progress_mode(options)).say(f"{ranking}\n{table}")
    finally:
        wait_for_all("the tables are written")  # JAX ends a process that loses its coordinator


def parse_grid_words(words: Sequence[str]) -> dict[str, list[str]]:
    """`["actor_lr=3e-4,5e-4", "hidden_sizes=64,64;128,128"]` → name → values as text.

    Raises:
        SettingsError: a word is not a name with values.
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.replace("-", "_")
        parts = values.split(";" if ";" in values else ",")
        if not equals or not all(map(str.strip, parts)):
            raise SettingsError(f"grid = {word!r} is not a name with values; write for example actor_lr=3e-4,5e-4")
        if name in grid:
            raise SettingsError(f"grid = {word!r} names {name} twice; give all its values at once")
        grid[name] = parts
    return grid
