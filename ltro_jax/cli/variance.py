"""`ltro variance`."""

import argparse
from pathlib import Path
from typing import Any

from ltro_jax.cli.options import (
    add_cache_option,
    add_import_option,
    add_progress_options,
    add_settings,
    given_settings,
    progress_mode,
    set_cache,
)
from ltro_jax.config import SettingsError
from ltro_jax.process.paths import typed_path

CONTROLLED = {
    "situations": "fixed situations for --controlled (default 256)",
    "draws": "fresh draws for --controlled (default 65536)",
    "updates": "updates between the two policies of --controlled (default 1)",
}


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "variance",
        help="measure the advantage variance of runs, or train runs to measure it",
        description="Measure the advantage variance by position, over training and by number of agents. Write plots "
        "(PNG, PDF), tables (CSV, Markdown) and datasets. Each argument is a run directory, or a task to train on.",
        epilog="example: ltro variance mpe/simple_spread --agents 2 3 5 --seeds 0:5 --total_env_steps 1e5 -o runs/v",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", metavar="RUN|TASK", nargs="+", help="run directories, or tasks to train on")
    parser.add_argument("-o", "--output", type=typed_path, metavar="DIR", help="default: runs/variance-<time>")
    parser.add_argument("--algorithms", nargs="+", default=[], help="default clip_happo happo")
    parser.add_argument("--factor_clips", nargs="+", type=float, default=[], help="default: that of each algorithm")
    parser.add_argument("--agents", nargs="+", type=int, default=[], help="numbers of agents (default: the task's)")
    parser.add_argument(
        "--controlled",
        action="store_true",
        help="also hold two policies fixed, compare moments of the factor over fresh actions with exact ones, and list "
        "bias and variance of each factor_rule",
    )
    for name, words in CONTROLLED.items():
        parser.add_argument(f"--{name}", type=int, help=words)
    add_progress_options(parser)
    add_import_option(parser)
    add_cache_option(parser)
    add_settings(parser, leave_out=("task", "algorithm", "factor_clip", "num_agents", "grid"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train on the tasks, measure the runs, and print the tables."""
    from ltro_jax.laboratories.controlled.tables import controlled_table
    from ltro_jax.laboratories.variance.study import configurations, train_all, write_study
    from ltro_jax.runs import load_run
    from ltro_jax.runs.progress import Progress
    from ltro_jax.storage import output_directory

    set_cache(options)
    paths = [target for target in options.targets if (Path(target) / "settings.json").exists()]
    tasks = [target for target in options.targets if target not in paths]
    settings = given_settings(options)
    sizes = {f"num_{name}": size for name in CONTROLLED if (size := getattr(options, name)) is not None}
    if sizes and not options.controlled:
        raise SettingsError(f"--{next(iter(sizes)).removeprefix('num_')} has no effect without --controlled; give both")
    if paths and (settings or options.factor_clips or options.agents or (options.algorithms and not tasks)):
        raise SettingsError("settings apply only to tasks to train on; a finished run keeps its settings")
    runs = {str(path): load_run(path) for path in paths}
    for path, opened in runs.items():
        if opened.config.run.grid:
            raise SettingsError(
                f"{path} has a grid of hyper-parameters, so its seeds are not a sample of the same settings"
            )
    algorithms = options.algorithms or ["clip_happo", "happo"]
    configs = configurations(tasks, algorithms, options.factor_clips, options.agents, **settings)
    progress = Progress(progress_mode(options))
    with output_directory(options.output, "variance") as output:
        runs |= train_all(configs, output / "runs", progress_mode(options), options.command_line)
        controlled = None
        if options.controlled:
            controlled = {label: controlled_table(opened, **sizes) for label, opened in runs.items()}
        try:
            written = write_study(runs, output, controlled)
        except ValueError as error:
            raise SettingsError(f"the variance of these runs cannot be measured: {error}") from error
        for table in ("table.md", *(["controlled.md"] if controlled else [])):
            progress.say((output / table).read_text())
        progress.say(f"{len(written)} files in {output}")
    return 0
