"""`ltro`: the entry point and its exit codes (0 done, 2 a sentence about bad input, 130 interrupted)."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ltro_jax.cli import envs, evaluate, export_policy, plot, presets, render, resume, sweep, theory, train, variance
from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.storage import RunError


class Parser(argparse.ArgumentParser):
    """Bad input is one sentence, not a page of usage; negative numbers in any notation are values."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._negative_number_matcher = re.compile(r"^-(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?$")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


COMMANDS = (train, sweep, resume, evaluate, render, plot, export_policy, variance, theory, presets, envs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = Parser(
        prog="ltro",
        description="Sequential-update, trust-region multi-agent RL with independent actors, in JAX.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    options, unknown = parser.parse_known_args(arguments)
    try:
        if unknown:
            raise SettingsError(_unknown_option(unknown[0]))
        return options.run(options)
    except (SettingsError, RunError) as error:
        print(f"ltro: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ltro: interrupted; what the last checkpoint holds is kept", file=sys.stderr)
        return 130


def _unknown_option(option: str) -> str:
    name = option.lstrip("-").split("=")[0].replace("-", "_")
    near = difflib.get_close_matches(name, SETTINGS, 1)
    hint = f"did you mean --{near[0]}? " if near and near[0] != name else ""
    return f"unknown option {option!r}; {hint}`ltro COMMAND --help` lists what is allowed"
