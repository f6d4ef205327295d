"""Update rules from outside the package on the command line."""

import json
import sys
from pathlib import Path

import pytest
from outside import NAME, forget, stranger

from ltro_jax.cli import main
from ltro_jax.process import references

REFERENCE = f"{NAME}:Halved"
NEEDED = f"add --allow-import {NAME}, or set LTRO_ALLOW_IMPORTS={NAME}"


@pytest.fixture(scope="module")
def run(options, tmp_path_factory):
    """A run of a stranger's rule, trained in the folder of its module; not to be changed."""
    folder = tmp_path_factory.mktemp("outside")
    with stranger(folder), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = [*options, "--algorithm", REFERENCE]
        assert main(["train", "probe/matching", "--quiet", "--out", str(folder / "run"), *words]) == 0
        yield folder / "run"


@pytest.fixture
def without(run, monkeypatch):
    """The run for a process that has not imported the module, and has no permission; its folder is the current one."""
    for name, empty in (("_allowed", set()), ("_folders", [])):
        monkeypatch.setattr(references, name, empty)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(run.parent)])
    monkeypatch.chdir(run.parent)
    forget()
    return str(run)


def test_the_reference_is_stored_with_its_defaults(run):
    settings = json.loads((run / "settings.json").read_text())
    assert (settings["algorithm"], settings["factor_clip"]) == (REFERENCE, 0.5)


def commands(path: str, out: Path) -> list[list[str]]:
    """Those that need the rule."""
    return [
        ["resume", path],
        ["eval", path, "--episodes", "2"],
        ["render", path, "-o", str(out / "film.gif")],
        ["export-policy", path, "-o", str(out / "policy")],
    ]


def files(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}


def test_commands_that_need_the_rule_ask_for_permission(without, tmp_path, capsys):
    before = files(Path(without))
    for words in commands(without, tmp_path):
        assert main(words) == 2, words
        (line,) = capsys.readouterr().err.splitlines()
        assert f"algorithm = '{REFERENCE}' needs the module {NAME}" in line and NEEDED in line, words
    assert NAME not in sys.modules and files(Path(without)) == before and not list(tmp_path.iterdir())


def test_commands_that_do_not_need_it_work_without(without, tmp_path, capsys):
    for words in (
        ["status", without],
        ["tail", without],
        ["plot", without, "-o", str(tmp_path / "curve.png")],
        ["report", without, "-o", str(tmp_path / "report.html")],
        ["export", without, "-o", str(tmp_path / "metrics.csv")],
    ):
        assert main(words) == 0, (words, capsys.readouterr().err)
    assert main(["export", without, "--format", "marl-eval", "-o", str(tmp_path / "scores.json")]) == 0
    assert "absolute_metrics" in (said := capsys.readouterr().err) and f"needs the module {NAME}" in said
    assert NAME not in sys.modules
    assert REFERENCE in (tmp_path / "report.html").read_text()
    assert REFERENCE in (tmp_path / "metrics.csv").read_text()


@pytest.mark.parametrize("words", [["--allow-import", NAME], ["--allow-import", f"other,{NAME}"], []])
def test_permission(without, words, monkeypatch, capsys):
    if not words:
        monkeypatch.setenv(references.VARIABLE, NAME)
        assert main(["eval", without, "--episodes", "2"]) == 2  # the variable does not open the current directory
        assert "which is not there; install it or add its folder to PYTHONPATH" in capsys.readouterr().err
        monkeypatch.syspath_prepend(Path(without).parent)
    assert main(["eval", without, "--episodes", "2", *words]) == 0
    assert capsys.readouterr().out.startswith(f"{REFERENCE} on probe/matching")


def test_a_finished_run_resumes(without, capsys):
    assert main(["resume", without, "--allow_import", NAME]) == 0
    assert "is finished: 8 iterations" in capsys.readouterr().out


def test_naming_an_algorithm_allows_it(without, tmp_path, capsys):
    assert main(["presets", "mpe/simple_spread", "--algorithm", REFERENCE]) == 0
    shown = capsys.readouterr().out
    assert f"algorithm = {REFERENCE}\n" in shown and "actor_epochs = 1\n" in shown and "factor_clip = 0.5\n" in shown
    for reference, sentence in (
        (f"{NAME}:Missing", f"names nothing: the module {NAME} has no attribute Missing"),
        ("no_such_module:Rule", "is not there; install it or add its folder to PYTHONPATH"),
        (f"{NAME}:Shorter", f"the update of {NAME}:Shorter returns nothing for opt_state"),
    ):
        out = tmp_path / "new"
        assert main(["train", "probe/matching", "--algorithm", reference, "--out", str(out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line and not out.exists()


def test_a_grid_of_algorithms_allows_them(without, options, tmp_path, capsys):
    grid = ["--grid", f"algorithm={NAME}:Rounded,happo"]
    assert main(["sweep", "probe/matching", *options, *grid, "--out", str(tmp_path / "sweep")]) == 2
    assert f"the update of {NAME}:Rounded returns bfloat16[" in capsys.readouterr().err  # it was imported
    assert not (tmp_path / "sweep").exists()


def test_presets_lists_the_rules_of_installed_packages(monkeypatch, capsys):
    from importlib.metadata import EntryPoint

    points = {"extra": EntryPoint("extra", "no_such_package:Rule", references.ALGORITHMS)}
    monkeypatch.setattr("ltro_jax.cli.presets.registered", lambda group: points)
    assert main(["presets"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1] == "  extra        no_such_package:Rule of the package no_such_package"
    )
