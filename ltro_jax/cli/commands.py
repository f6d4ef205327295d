"""The commands of `ltro`, their parser and their exit codes."""

import argparse
import contextvars
import difflib
import errno
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NoReturn

from ltro_jax.cli import (
    envs,
    evaluate,
    export,
    export_policy,
    plot,
    presets,
    render,
    report,
    report_bug,
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
from ltro_jax.cli.options import allow_named_imports
from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.config.families import option_names
from ltro_jax.process.interrupts import STOPPED


class StoreOnce(argparse.Action):
    """Reject an option that is given twice: argparse would silently use the second value."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        given = namespace.__dict__.setdefault("options_given", set())
        if self.option_strings and self.dest in given:
            parser.error(f"{option_string} is given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Report bad input in one sentence without the usage; accept negative numbers in any notation as values."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        for name in (None, "store"):
            self.register("action", name, StoreOnce)
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
    report_bug,
)
EXIT_CODES = """exit codes:
  0    done
  1    an unexpected error, with a traceback; `ltro verify`: outside the band
  2    bad input, an unusable run or a disk error: one sentence on stderr
  130  stopped by Ctrl-C, SIGTERM or a closed terminal; the run is saved and can be resumed
  141  the reader closed the output (`| head`); training continues without output"""


def make_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser of `ltro`, and the parsers of its commands by name."""
    parser = Parser(
        prog="ltro",
        description="Sequential-update, trust-region multi-agent RL with independent actors, in JAX.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(imports_jax=True)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser, commands.choices


def run_command(arguments: Sequence[str]) -> int:
    """Parse and run one command; returns the exit code."""
    parser, _ = make_parser()
    try:
        options, unknown = parser.parse_known_args(arguments)
        options.command_line = shlex.join(["ltro", *arguments])
        if unknown:
            raise SettingsError(_unknown_option(unknown[0]))
        allow_named_imports(options)
        with _surroundings() if options.imports_jax else nullcontext():
            return contextvars.copy_context().run(options.run, options)
    except KeyboardInterrupt:
        print("ltro: interrupted; the last checkpoint is kept", file=sys.stderr)
        return STOPPED
    except Exception as error:
        code, sentence = _expected(error)
        if sentence is None:
            raise
        print(f"ltro: {sentence}".replace("\n", " "), file=sys.stderr)  # a path may contain line breaks
        return code


@contextmanager
def _surroundings() -> Iterator[None]:
    """The context of commands that import JAX."""
    with _warnings_in_one_line(), _float32():
        yield


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print each `RunWarning` as one line on stderr; show other warnings as Python does."""
    from ltro_jax.storage import RunWarning

    with warnings.catch_warnings():
        show = warnings.showwarning

        def one_line(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, RunWarning):
                print(f"ltro: {message}", file=sys.stderr, flush=True)
            else:
                show(message, category, *where, **more)

        warnings.simplefilter("always", RunWarning)
        warnings.showwarning = one_line
        yield


def _float32() -> AbstractContextManager[Any]:
    """Train in float32 even if JAX_ENABLE_X64 is set."""
    if "jax" not in sys.modules and not os.environ.get("JAX_ENABLE_X64"):
        return nullcontext()
    import jax

    return jax.enable_x64(False)


def _expected(error: Exception) -> tuple[int, str | None]:
    """Exit code and sentence of an error; the sentence is None if the error is unexpected."""
    code = getattr(error, "exit_code", None)  # of a SettingsError or a RunError
    if isinstance(code, int):
        return code, str(error)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return 2, f"{str(error.filename)[:40]}… is not a valid path because the name is too long; use a shorter name"
    if isinstance(error, RuntimeError | AssertionError) and os.environ.get("JAX_PLATFORMS"):
        return 2, _missing_device(os.environ["JAX_PLATFORMS"])
    return 1, None


def _missing_device(platforms: str) -> str | None:
    """One sentence in place of JAX's long error if JAX cannot find the requested devices, else None."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        return (
            f"JAX_PLATFORMS = {platforms} requests devices that JAX cannot find; unset it, set it to cpu, or install "
            "the driver and the extra (cuda or tpu)"
        )
    return None


def _unknown_option(option: str) -> str:
    name = option.lstrip("-").split("=")[0].replace("-", "_")
    near = difflib.get_close_matches(name, [*SETTINGS, *option_names()], 1)
    hint = f"did you mean --{near[0]}? " if near and near[0] != name else ""
    return f"unknown option {option!r}; {hint}`ltro COMMAND --help` lists the options"
