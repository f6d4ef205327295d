"""`ltro`: the entry point and its exit codes (0 done, 2 a sentence about bad input, 130 interrupted)."""

import argparse
import sys
from collections.abc import Sequence

from ltro_jax.cli import envs, evaluate, plot, presets, resume, train
from ltro_jax.config import SettingsError
from ltro_jax.storage import RunError

COMMANDS = (train, resume, evaluate, plot, presets, envs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="ltro",
        description="Sequential-update, trust-region multi-agent RL with independent actors, in JAX.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (SettingsError, RunError) as error:
        print(f"ltro: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ltro: interrupted; what the last checkpoint holds is kept", file=sys.stderr)
        return 130
