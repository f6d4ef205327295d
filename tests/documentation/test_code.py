"""What the README and the pages tell to type works: Python runs, commands parse, targets and files exist."""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ltro_jax.cli import main
from ltro_jax.cli.options import given_settings
from ltro_jax.config import Config
from ltro_jax.presets import preset_or_defaults
from ltro_jax.process import references

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)


def test_python_runs_as_it_stands(tmp_path):
    """The README's blocks, then those of every page, which go on with the README's run; without a word on stderr."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    runner = Path(__file__).with_name("run_pages.py")
    command = [sys.executable, "-W", "error::UserWarning:ltro_jax", runner, *PAGES]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("== ")] == [
        page.name for page in PAGES if "```python\n" in page.read_text(encoding="utf-8")
    ]


# ---- the shell


def commands() -> Iterator[tuple[str, str]]:
    """Page and line of every command, without what is only said about it."""
    for page in PAGES:
        for block in SHELL.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words = words[1:]  # a variable for this command
                if words:
                    yield page.name, shlex.join(words)


COMMANDS = list(dict.fromkeys(commands()))
LTRO = sorted({command for _, command in COMMANDS if command.startswith("ltro ") and "--help" not in command})


def outside_module() -> str:
    """The module that the page on extensions tells to write."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"^```python\n(# my_module\.py\n.*?)^```", text, re.M | re.S)
    return module


@pytest.fixture
def my_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, in which that module lies."""
    (tmp_path / "my_module.py").write_text(outside_module(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name, empty in (("_allowed", set()), ("_folders", [])):
        monkeypatch.setattr(references, name, empty)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_module", None)


def test_a_rule_of_your_own_works_as_the_page_says(my_module):
    """In a process for each command, as a reader would run them."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (block,) = SHELL.findall(text.split("## Use it from the command line")[1])
    program = "import sys; from ltro_jax.cli import main; sys.exit(main())"
    environment = {key: value for key, value in os.environ.items() if key != references.VARIABLE}
    for line in block.splitlines():
        words = shlex.split(line)
        own = dict(word.split("=") for word in words[: words.index("ltro")])
        path = os.pathsep.join(filter(None, [str(ROOT), own.pop("PYTHONPATH", "")]))
        command = [sys.executable, "-P", "-c", program, *words[words.index("ltro") + 1 :]]
        fast = {"PYTHONPATH": path, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        done = subprocess.run(command, env=environment | own | fast, capture_output=True, text=True, timeout=600)
        assert (done.returncode, done.stderr) == (0, ""), line
    assert '"algorithm": "my_module:Bounded"' in (my_module / "runs/bounded/settings.json").read_text()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Options of the commands that were given to `main`, which only parses them."""
    given: list[Any] = []
    for module in importlib.import_module("ltro_jax.cli.commands").COMMANDS:
        monkeypatch.setattr(module, "run", lambda options: given.append(options) or 0)
    return given


@pytest.mark.parametrize("command", LTRO)
def test_commands_of_ltro_parse(command, parsed, my_module):
    words = shlex.split(command)[1:]
    assert main(words) == 0
    settings = given_settings(parsed[0])
    if words[0] in ("train", "sweep"):
        preset_or_defaults(parsed[0].preset, settings.pop("algorithm", "clip_happo"), **settings)
    else:
        Config.from_dict(settings)


def test_there_are_commands():
    assert len(LTRO) >= 30


def test_targets_of_make_exist():
    (phony,) = re.findall(r"^\.PHONY: (help .*)", (ROOT / "Makefile").read_text(), re.M)
    named = {word for _, command in COMMANDS for word in command.split()[1:2] if command.startswith("make ")}
    inline = {word for page in PAGES for word in re.findall(r"`make (\S+)`", page.read_text(encoding="utf-8"))}
    assert named | inline <= set(phony.split()) and {"demo", "test", "docs"} <= named


def test_scripts_and_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page, command in COMMANDS:
        for script in re.findall(r"\bpython (\S+\.py)\b", command):
            assert (ROOT / script).is_file(), (page, command)
        for extra in re.findall(r"\.\[([\w,]+)\]|EXTRAS=([\w,]+)", command):
            assert set("".join(extra).split(",")) <= set(extras), (page, command)
