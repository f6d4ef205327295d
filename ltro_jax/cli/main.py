"""`ltro`: the entry point and its exit codes."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import jax

from ltro_jax.cli import (
    envs,
    evaluate,
    export,
    export_policy,
    plot,
    presets,
    render,
    report,
    resume,
    status,
    sweep,
    tail,
    theory,
    track,
    train,
    variance,
    verify,
)
from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.storage import RunError


class Parser(argparse.ArgumentParser):
    """Bad input is one sentence, not a page of usage; negative numbers in any notation are values."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._negative_number_matcher = re.compile(r"^-(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?$")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


COMMANDS = (
    train,
    sweep,
    resume,
    status,
    tail,
    evaluate,
    render,
    plot,
    report,
    export,
    export_policy,
    track,
    variance,
    theory,
    verify,
    presets,
    envs,
)
EXIT_CODES = """exit codes:
  0    done
  1    an error that ltro_jax did not foresee, with a traceback; `ltro verify`: outside the band
  2    bad input, a run that cannot be used, or a disk that refuses: one sentence on stderr
  130  stopped by Ctrl-C; a run is saved and can be resumed"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = Parser(
        prog="ltro",
        description="Sequential-update, trust-region multi-agent RL with independent actors, in JAX.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    options, unknown = parser.parse_known_args(arguments)
    try:
        if unknown:
            raise SettingsError(_unknown_option(unknown[0]))
        with jax.enable_x64(False):  # training is float32, whatever JAX_ENABLE_X64 says
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
