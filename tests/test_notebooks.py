"""The notebooks run, small, from a clean start, and are committed as one whole run left them."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from notebooks.execute import NOTEBOOKS, execute

ROOT = Path(__file__).resolve().parents[1]
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|var|opt|usr|mnt|private|work)/|[A-Z]:\\\\")
MAX_BYTES = 400_000

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output: nbformat.NotebookNode) -> str:
    """The text of an output: streams, tables, captions of plots, but no pixels."""
    data = output.get("data", {})
    return output.get("text", "") + "".join(data[kind] for kind in data if kind.startswith("text/"))


def should_show(source: str) -> bool:
    """It prints, or its last statement is an expression."""
    statements = ast.parse(re.sub(r"^( *)%.*", r"\1pass", source, flags=re.M)).body
    return "print(" in source or isinstance(statements[-1], ast.Expr)


@every_notebook
def test_it_runs_without_a_word_on_stderr(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LTRO_NOTEBOOK_FAST", "1")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    before = path.read_bytes()
    directory = tmp_path / "work"
    directory.mkdir()
    outputs = [output for cell in code_cells(execute(path, directory)) for output in cell.outputs]
    assert [text_of(output) for output in outputs if output.get("name") == "stderr"] == []
    assert outputs and path.read_bytes() == before


@every_notebook
def test_committed_outputs_are_those_of_one_whole_run(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells if should_show(cell.source))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}


@every_notebook
def test_committed_outputs_are_small_and_tell_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    said = "".join(map(text_of, outputs))
    assert not MACHINE_PATH.search(said) and "\r" not in said
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < MAX_BYTES


def test_the_four_are_listed_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 4
    assert all(f"notebooks/{path.name}" in readme for path in NOTEBOOKS)
