"""`ltro report-bug`: complete, without secrets, and printed whatever is broken."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import pytest

from ltro_jax.cli import main
from ltro_jax.watch import bug_report

ROOT = Path(__file__).resolve().parents[2]


def sections(text: str) -> dict[str, list[str]]:
    """Title → lines of the code block below it."""
    blocks = re.findall(r"### ([^\n]*)\n\n```\n(.*?)\n```\n", text, re.S)
    assert "".join(f"### {title}\n\n```\n{block}\n```\n\n" for title, block in blocks) == f"{text}\n"
    return {title: block.splitlines() for title, block in blocks}


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bug_report, "_start", lambda *_: OSError("no processes left"))


def test_report_of_a_run(trained, capsys):
    capsys.readouterr()
    assert main(["report-bug", str(trained / "settings.json")]) == 0
    parts = sections(capsys.readouterr().out)
    assert {f"{name} {metadata.version(name)}" for name in ("ltro_jax", "jax", "jaxlib", "flax")} <= set(
        parts["Versions"]
    )
    assert parts["Devices"][0] == f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind} (cpu)"
    assert parts["Devices"][1].endswith(" GiB of memory that a program may use on a device")
    state = parts[f"Run {trained}"]
    assert state[0] == f"{trained}: finished" and state[2] == "  iteration 8/8, 256 of 256 env steps"
    assert any(line.startswith("command: ltro train probe/matching ") for line in parts["Start of the run"])
    settings = parts["Settings that differ from the defaults"]
    assert {'task = "probe/matching"', "seeds = [3, 7]", "actor_lr = 0.01", "hidden_sizes = [8]"} <= set(settings)
    assert not any(line.startswith("gamma = ") for line in settings)


def test_a_run_that_cannot_be_read(tmp_path, no_children):
    (tmp_path / "settings.json").write_text("{")
    parts = sections(bug_report.bug_report(tmp_path))
    assert parts["Devices"] == parts[f"Run {tmp_path}"] == ["not available: OSError: no processes left"]
    assert parts["Start of the run"] == ["no environment.json"]
    assert parts["Settings that differ from the defaults"][0].startswith("not available: JSONDecodeError: ")


def test_nothing_secret(tmp_path, monkeypatch, no_children):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LTRO_COMPILATION_CACHE", f"{tmp_path}/cache:{tmp_path}x")
    monkeypatch.setenv("JAX_SERVICE_TOKEN", "s3cret")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "https://me:s3cret@example.org/xla")
    monkeypatch.setenv("WANDB_API_KEY", "s3cret")
    text = bug_report.bug_report()
    assert "s3cret" not in text and "WANDB" not in text
    shown = sections(text)["Environment variables"]
    assert f"LTRO_COMPILATION_CACHE=~/cache:{tmp_path}x" in shown and "JAX_SERVICE_TOKEN=(hidden)" in shown
    assert "JAX_COMPILATION_CACHE_DIR=https://…@example.org/xla" in shown


def test_jax_that_cannot_be_imported(tmp_path):
    """The report comes from a process without JAX, and quotes the error."""
    (tmp_path / "jax.py").write_text("raise ImportError('libbroken.so: cannot open')")
    program = (
        "import sys; from ltro_jax.cli import main; code = main(); assert 'jax' not in sys.modules; sys.exit(code)"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", program, "report-bug", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    parts = sections(done.stdout)
    assert parts["Devices"][-2:] == ["ImportError: libbroken.so: cannot open", "(exit code 1)"]
    assert f"jax {metadata.version('jax')}" in parts["Versions"]


def test_a_child_that_hangs(monkeypatch):
    monkeypatch.setattr(bug_report, "TIMEOUT", 0.5)
    child = bug_report._start("import time; print('begun', flush=True); time.sleep(60)")
    assert bug_report._output(child).splitlines()[-2:] == ["no answer within 0.5 s", "(exit code -9)"]
