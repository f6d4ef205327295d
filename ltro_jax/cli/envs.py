"""`ltro envs`."""

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "envs", help="list environments", description="Tasks with agents, sizes and episode length at their defaults."
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    from ltro_jax.config import Static
    from ltro_jax.envs import list_tasks, make_env, missing_extra

    print(f"{'task':<30} {'agents':>6} {'observation':>12} {'action':>16} {'state':>6} {'episode':>8}")
    for task in list_tasks():
        extra = missing_extra(task)
        if extra:
            print(f"{task:<30} needs the extra {extra!r}: pip install -c constraints.txt -e '.[{extra}]'")
            continue
        spec = make_env(Static(task=task)).spec
        action = f"{_sizes(spec.action_sizes)} {'discrete' if spec.discrete else 'continuous'}"
        observation = _sizes(spec.observation_sizes)
        sizes = f"{spec.num_agents:>6} {observation:>12} {action:>16} {spec.state_size:>6} {spec.episode_length:>8}"
        print(f"{task:<30} {sizes}")
    return 0


def _sizes(sizes: tuple[int, ...]) -> str:
    """One number where all agents are alike, else all of them."""
    return str(sizes[0]) if len(set(sizes)) == 1 else "/".join(map(str, sizes))
