"""Progress in a notebook: an output that is updated in place, with the last state left in the saved page."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from parsed import page_of
from stored import made_up

from ltro_jax import train
from ltro_jax.display import notebook
from ltro_jax.runs import progress_views
from ltro_jax.runs.progress import Progress


class FakeCell:
    """Every bundle that was shown, in order; one output at a time."""

    def __init__(self) -> None:
        self.displays, self.bundles = 0, []

    def __call__(self, bundle):
        self.displays += 1
        self.bundles.append(bundle)
        return self

    def update(self, bundle) -> None:
        self.bundles.append(bundle)

    @property
    def page(self):
        return page_of(self.bundles[-1]["text/html"])


@pytest.fixture
def cell(monkeypatch) -> FakeCell:
    """This process as the kernel of a notebook, with time that stands still until `clock` moves it."""
    cell = FakeCell()
    monkeypatch.setattr(progress_views, "make_view", lambda mode: progress_views.Notebook(cell))
    monkeypatch.setattr("ltro_jax.runs.progress.make_view", lambda mode: progress_views.Notebook(cell))
    return cell


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress_views, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_an_output_is_updated_at_most_once_a_second(cell, clock, settings, capsys):
    progress = Progress(True, 8, 32, 2)
    progress.say("training: clip_happo")  # before the output: printed above it
    with progress.stage("compiling"):
        assert cell.page.words == ["compiling"]
    progress.say("compiled in 1.0 s")
    assert cell.page.words == ["compiling", "compiled in 1.0 s"] or cell.page.words[-1] == "compiled in 1.0 s"
    shown = len(cell.bundles)
    rows = [made_up(settings, first, 2) for first in (1, 3, 5, 7)]
    for index, now in enumerate((100.5, 100.9, 101.1)):
        clock.now = now
        progress.advanced(2 * index + 2, 2, 0.5, rows[index])
        with progress.stage("saving"):
            pass
    assert len(cell.bundles) == shown + 1
    page = cell.page
    assert page.words[0] == "training" and page.words[1].startswith("iteration 6/8, 192 env steps × 2 members, 256 ")
    assert page.all("polyline")[0]["points"].count(",") == 3 and page.words[-1] == "compiled in 1.0 s"
    (percent,) = (tag["aria-valuenow"] for tag in page.all("div") if "aria-valuenow" in tag)
    assert percent == "75"
    progress.advanced(8, 2, 0.5, rows[3])
    assert len(cell.bundles) == shown + 1
    progress.say("finished 8 iterations")
    progress.close()
    assert cell.displays == 1 and capsys.readouterr().out == "training: clip_happo\n"
    page = cell.page
    assert page.words[0] == "finished" and page.words[-1] == "finished 8 iterations"
    last = np.mean(rows[3]["eval_return_greedy"].values[:, -1])
    assert page.all("svg")[0]["aria-label"].endswith(f"the last value is {last:.4g}")
    assert cell.bundles[-1]["text/plain"].splitlines()[0] == "finished"
    assert cell.bundles[-1]["text/plain"].splitlines()[1].startswith("iteration 8/8, ")


def test_training_leaves_its_last_state(cell, settings, tmp_path, capfd):
    run = train(settings, tmp_path / "run")
    assert cell.displays == 1 and cell.page.words[0] == "finished"
    assert cell.page.words[-1] == f"finished 8 iterations; the run is in {run.path}"
    assert cell.page.all("polyline")[0]["points"].count(",") == 4  # an evaluation after each device call
    out, err = capfd.readouterr()
    assert out.startswith("training: clip_happo on probe/matching") and out.count("\n") == 1 and err == ""


def test_a_run_that_fails_is_shown_as_stopped(cell, settings):
    progress = Progress(True, 8, 32, 2)
    with pytest.raises(MemoryError), progress.stage("compiling"):
        raise MemoryError
    progress.close()
    assert cell.page.words == ["stopped"]


def test_a_page_that_fails_stops_nothing(monkeypatch, settings, capsys):
    def broken(bundle):
        raise ConnectionError("the page is closed")

    monkeypatch.setattr("ltro_jax.runs.progress.make_view", lambda mode: progress_views.Notebook(broken))
    progress = Progress(True, 8, 32, 2)
    with progress.stage("compiling"):
        pass
    progress.advanced(8, 8, 0.5, made_up(settings, 1, 8))
    progress.close()
    sentence = "ltro: the notebook cannot show progress (the page is closed); training continues\n"
    assert capsys.readouterr().err == sentence


def test_a_kernel_is_recognised(monkeypatch):
    """A shell in a terminal has no kernel."""
    for shell, expected in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert notebook.in_notebook() is expected
        view = progress_views.make_view(True)
        assert isinstance(view, progress_views.Notebook) is expected
    assert isinstance(progress_views.make_view("json"), progress_views.JsonLines)  # asked for, also in a notebook
    monkeypatch.delitem(sys.modules, "IPython")
    assert not notebook.in_notebook()


def test_the_package_imports_neither_rich_nor_ipython():
    program = "import sys, ltro_jax; ltro_jax.__all__; sys.exit(bool({'rich', 'IPython', 'jax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
