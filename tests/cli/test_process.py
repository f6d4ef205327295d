"""The process of a command: signals, pipes, disks, terminals, and the variables of whoever starts it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ltro_jax import load_run
from ltro_jax.cli import main
from ltro_jax.cli.evaluate import KINDS
from ltro_jax.cli.export import SUFFIXES
from ltro_jax.config.studies import STUDIES
from ltro_jax.export.metrics import FORMS
from ltro_jax.laboratories.games import study as theory
from ltro_jax.training import evaluation

ROOT = Path(__file__).resolve().parents[2]
# A process in the background inherits a SIGINT that is ignored; here it is as in a terminal.
PROGRAM = """import signal, sys; from ltro_jax.cli import main; signal.signal(signal.SIGINT, signal.default_int_handler)
print("begun", file=sys.stderr, flush=True); sys.exit(main())"""
SMALL = "--num_envs 2 --rollout_length 10 --hidden_sizes 8 --eval_episodes 2 --eval_interval 1 --checkpoint_interval 2"
COMMANDS = """train sweep resume status tail eval render plot report export export-policy track variance theory verify
    presets envs report-bug"""


def start(*arguments: str, variables: dict[str, str] | None = None, **streams: Any) -> subprocess.Popen[str]:
    """`ltro` in a separate process, which prints "begun" on stderr just before `main`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (variables or {})
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = [sys.executable, "-c", PROGRAM, *arguments]
    process = subprocess.Popen(command, env=environment, text=True, encoding="utf-8", **pipes)
    if process.stderr:
        assert process.stderr.readline() == "begun\n"
    return process


def ltro(*arguments: str, **more: Any) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a whole command."""
    with start(*arguments, **more) as process:
        out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def signals_at_random(path: Path, tries: int, longest: float) -> None:
    """Each in the same directory: what a stopped start leaves is not in the way of the next."""
    draw = random.Random(0)
    for attempt in range(tries):
        number = (signal.SIGINT, signal.SIGTERM)[attempt % 2]
        with start("train", "probe/matching", *SMALL.split(), "--out", str(path)) as process:
            time.sleep(draw.uniform(0.01, longest))
            process.send_signal(number)
            out, err = process.communicate(timeout=100)
        assert process.returncode == 130, (attempt, out, err)
        if "iteration " in out:  # in the training loop already
            assert "resume it with `ltro resume " in out or "stopped at once" in err
            return
        assert err in (
            "ltro: interrupted\n",
            "ltro: stopped before anything was saved; the same command starts again\n",
        ), (attempt, err)


def test_a_signal_at_any_moment_of_the_start(tmp_path):
    signals_at_random(tmp_path / "run", 4, 3.0)


@pytest.mark.slow
def test_a_signal_at_any_moment_of_many_starts(tmp_path):
    for attempt in range(7):
        signals_at_random(tmp_path / str(attempt), 5, 8.0)


def test_sigterm_and_a_lost_stdout_during_training(tmp_path):
    """Whoever reads the output leaves after a line; training continues, and SIGTERM saves."""
    path = tmp_path / "run"
    with start("train", "probe/matching", *SMALL.split(), "--out", str(path), "--total_env_steps", "1e7") as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith("training: ")
        process.stdout.close()
        assert process.stderr.readline() == (
            "ltro: standard output accepts no more text (Broken pipe); training continues\n"
        )
        while not list(path.glob("checkpoints/0*")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors == "ltro: stopping after this device call (press Ctrl-C again to stop immediately) ...\n"
    run = load_run(path)
    assert run.iteration >= 2 and run.restore().iteration == run.iteration and not run.finished


def test_output_that_nobody_takes(trained):
    """No message if the reader leaves, a sentence if the disk is full; a closed stream is not an error."""
    reading, writing = os.pipe()
    os.close(reading)
    for variables in ({"PYTHONUNBUFFERED": ""}, {"PYTHONUNBUFFERED": "1"}):
        assert ltro("presets", stdout=writing, variables=variables)[::2] == (141, "")
    assert ltro("--help", stdout=writing)[::2] == ltro("status", str(trained), stdout=writing)[::2] == (141, "")
    os.close(writing)
    with open("/dev/full", "w") as full:
        sentence = "ltro: cannot write to standard output: No space left on device; check the redirection\n"
        assert ltro("presets", stdout=full)[::2] == (2, sentence)
    closed = f"{sys.executable} -c '{PROGRAM}' presets >&- 2>&-"
    assert subprocess.run(["sh", "-c", closed], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=100).returncode == 0


def test_output_without_greek():
    for variables in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        code, out, err = ltro("train", "--help", variables=variables)
        assert (code, err) == (0, "") and "ratio clip ? of" in " ".join(out.split())


@pytest.mark.parametrize("command", ["", *COMMANDS.split()])
def test_help_waits_for_nothing(command):
    """Neither JAX nor matplotlib, whatever Jupyter has exported: half a second is then far away."""
    program = (
        "import sys; from ltro_jax.cli import main\n"
        "try: main()\n"
        "finally: assert not {'jax', 'numpy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "module://nobody.backend"}
    arguments = [*command.split(), "--help"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage: ltro ")


def test_what_the_help_knows_is_what_there_is():
    assert set(SUFFIXES) == {*FORMS, "netcdf"} and KINDS == evaluation.KINDS and set(STUDIES) == set(theory.MEASURES)


def test_devices_that_are_not_there():
    code, _, err = ltro("envs", variables={"JAX_PLATFORMS": "nonsense"})
    assert code == 2 and err.startswith("ltro: JAX_PLATFORMS = nonsense requests devices that JAX cannot find; unset")
    assert err.count("\n") == 1


def test_a_python_of_another_program_is_left_alone(trained, monkeypatch, tmp_path):
    """`main([...])` changes no signal, stream, variable or working directory, and knows what it was asked."""
    monkeypatch.setattr(sys, "argv", [])

    def state() -> tuple[Any, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return dict(os.environ), sys.stdout, sys.stderr, handlers, os.getcwd()

    before = state()
    assert main(["resume", str(trained), "--compilation_cache", str(tmp_path / "xla")]) == 0
    assert state() == before
    assert load_run(trained).directory.environment["command"].startswith("ltro train probe/matching ")
