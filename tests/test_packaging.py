"""What an installer and an importer see: metadata, pins, the check of the Python, a quiet import."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import ltro_jax

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("cuda", "tpu", "mabrax", "mamujoco", "mujoco", "trackers", "export", "notebooks", "docs", "dev")
PINNED = ("dev", "trackers", "export")  # with all that `make test-all` installs
PYTHONS = ("3.11", "3.12", "3.13")


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    return [Requirement(line) for line in lines if line]


def applies(requirement: Requirement, python: str) -> bool:
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": ""})


def pins(python: str) -> dict[str, Version]:
    """Name → the one version pinned for this Python."""
    pinned = {}
    for requirement in filter(lambda r: applies(r, python), constraints()):
        name = canonicalize_name(requirement.name)
        assert name not in pinned, f"{name} is pinned twice for Python {python}"
        pinned[name] = Version(next(iter(requirement.specifier)).version)
    return pinned


def check_python(*arguments: str) -> subprocess.CompletedProcess:
    script = ROOT / ".ci" / "check_python.sh"
    return subprocess.run(["sh", str(script), *arguments], capture_output=True, text=True, timeout=60)


def stub(path: Path, body: str) -> str:
    """A shell script that poses as a Python."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def assert_refused_in_one_sentence(result: subprocess.CompletedProcess, *words: str):
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


def test_import_is_silent_and_changes_no_jax_setting():
    program = """
        import jax
        before = dict(jax.config.values)
        import ltro_jax
        after = jax.config.values
        changed = {name: (value, after[name]) for name, value in before.items() if after[name] != value}
        assert not changed, changed
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_version_is_the_one_of_the_metadata():
    assert ltro_jax.__version__ == metadata.version("ltro_jax") == PROJECT["version"]


def test_citation_and_changelog_name_the_version():
    citation, changelog = ((ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md"))
    assert re.findall(r"^version: (.*)$", citation, re.M) == [PROJECT["version"]]
    sections = re.findall(r"^## \[(.*)\](?: - \d{4}-\d{2}-\d{2})?$", changelog, re.M)
    assert sections[:2] == ["Unreleased", PROJECT["version"]]


def test_package_is_typed():
    assert (ROOT / "ltro_jax" / "py.typed").is_file()


def test_console_script():
    assert PROJECT["scripts"] == {"ltro": "ltro_jax.cli:main"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_exists_and_parses(extra):
    requirements = [Requirement(line) for line in PROJECT["optional-dependencies"][extra]]
    assert requirements


def test_there_are_no_other_extras():
    assert set(PROJECT["optional-dependencies"]) == set(EXTRAS)


def test_every_constraint_is_one_exact_pin():
    for requirement in constraints():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), str(requirement)
        assert not requirement.url
        assert not requirement.extras  # pip refuses extras in constraints


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_cover_and_satisfy_the_requirements(python):
    pinned = pins(python)
    for line in PROJECT["dependencies"] + [
        line for extra in PINNED for line in PROJECT["optional-dependencies"][extra]
    ]:
        requirement = Requirement(line)
        if applies(requirement, python):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not pinned for Python {python}"
            assert version in requirement.specifier, f"{requirement.name} {version} is not {requirement}"


def test_pins_of_other_extras_satisfy_them():
    for extra in EXTRAS:
        for line in PROJECT["optional-dependencies"][extra]:
            requirement = Requirement(line)
            for python in PYTHONS:
                version = pins(python).get(canonicalize_name(requirement.name))
                assert version is None or version in requirement.specifier


def test_jax_and_jaxlib_are_pinned_together():
    for python, series in (("3.11", (0, 10)), ("3.12", (0, 11)), ("3.13", (0, 11))):
        pinned = pins(python)
        assert pinned["jax"] == pinned["jaxlib"]
        assert pinned["jax"].release[:2] == series


def test_this_python_passes_the_check():
    result = check_python(sys.executable)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("version", ["2.7.18", "3.6.15", "3.10.13"])
def test_old_python_is_refused_in_one_sentence(tmp_path, version):
    python = stub(tmp_path / "python3", f"echo {version}")
    assert_refused_in_one_sentence(check_python(python), "3.11 or newer", version, "make PYTHON=python3.12")


def test_missing_python_is_refused_in_one_sentence(tmp_path):
    python = str(tmp_path / "python3")
    assert_refused_in_one_sentence(check_python(python), "not found", "make PYTHON=python3.12")


def test_python_that_does_not_run_is_refused_in_one_sentence(tmp_path):
    python = stub(tmp_path / "python3", "echo 'no such version' >&2; exit 127")
    assert_refused_in_one_sentence(check_python(python), "does not run", "make PYTHON=python3.12")


def test_python_without_ensurepip_is_refused_in_one_sentence(tmp_path):
    python = stub(tmp_path / "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac; echo 3.12.1')
    assert_refused_in_one_sentence(check_python(python), "apt install python3-venv")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_stops_at_the_check(tmp_path):
    """The sentence comes before anything is made, and no stamp is left."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".ci/check_python.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = stub(tmp_path / "old_python", "echo 3.6.15")
    command = ["make", "demo", f"PYTHON={python}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "ltro_jax needs Python 3.11 or newer" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / ".venv").exists()
