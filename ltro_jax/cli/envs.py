"""`ltro envs`."""

import argparse
from typing import Any

from ltro_jax.config.coercion import setting_text, type_words
from ltro_jax.config.families import options_class
from ltro_jax.config.groups import SETTINGS
from ltro_jax.config.specs import field_specs, limits_text

COLUMNS = f"{'task':<30} {'agents':>6} {'observation':>12} {'action':>16} {'state':>6} {'episode':>8}"


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "envs",
        help="list environments and their options",
        description="List all tasks with their agents, sizes and episode length, or one task with its options.",
        epilog="example: ltro envs mpe/simple_spread",
    )
    parser.add_argument("task", nargs="?", metavar="TASK", help="show the options of this task")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table of tasks, or one row of it and the options of that task."""
    from ltro_jax.envs import list_tasks

    if options.task is None:
        print("\n".join([COLUMNS, *map(_row, list_tasks())]))
        return 0
    row = _row(options.task)
    specs = {**field_specs(options_class(options.task)), "episode_length": SETTINGS["episode_length"]}
    table = [("option", "type", "default", "meaning")]
    for name, spec in specs.items():
        default, limits = setting_text(spec.default).lower(), limits_text(spec.metadata)
        meaning = f"{spec.metadata['help']}; {limits}" if limits else spec.metadata["help"]
        table.append((f"--{name}", type_words(spec.type), default, meaning))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:3]
    print(f"{COLUMNS}\n{row}\n")
    for *cells, meaning in table:
        print(" ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), meaning]))
    return 0


def _row(task: str) -> str:
    """A line of the table; where an extra is missing, how to install it."""
    from ltro_jax.config import Static
    from ltro_jax.envs import make_env, missing_extra

    extra = missing_extra(task)
    if extra:
        return f"{task:<30} needs the extra {extra!r}: pip install -c constraints.txt -e '.[{extra}]'"
    spec = make_env(Static(task=task)).spec
    action = f"{_sizes(spec.action_sizes)} {'discrete' if spec.discrete else 'continuous'}"
    sizes = f"{_sizes(spec.observation_sizes):>12} {action:>16} {spec.state_size:>6} {spec.episode_length:>8}"
    return f"{task:<30} {spec.num_agents:>6} {sizes}"


def _sizes(sizes: tuple[int, ...]) -> str:
    """One number if all agents have the same size, else all numbers."""
    return str(sizes[0]) if len(set(sizes)) == 1 else "/".join(map(str, sizes))
