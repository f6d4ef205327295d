"""Imports leave the process as it was, in any number of threads."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import ltro_jax
from ltro_jax.process.imports import import_quietly, without_warnings

ROOT = Path(__file__).resolve().parents[2]

TWO_THREADS = """
import sys, threading, warnings
streams, filters = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__), list(warnings.filters)
from ltro_jax import Config, make_train
made = []
def make():
    made.append(make_train(Config.from_dict({"task": "mpe/simple_spread", "num_envs": 2, "hidden_sizes": 8})))
threads = [threading.Thread(target=make) for _ in range(2)]
[thread.start() for thread in threads]
while any(thread.is_alive() for thread in threads):
    print("heard", flush=True)
    threads[0].join(0.1)
    threads[1].join(0.1)
assert len(made) == 2
assert all(a is b for a, b in zip(streams, (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)))
assert warnings.filters[-len(filters):] == filters and ("ignore", None, Warning, None, 0) not in warnings.filters
"""


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=110)


def test_two_threads_keep_their_streams():
    """What the main thread prints meanwhile is printed; what JaxMARL prints is not."""
    done = run(TWO_THREADS)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"heard"}


def test_a_noisy_module_is_imported_once(tmp_path, monkeypatch, capsys):
    """It prints, warns and replaces a stream; another thread prints at the same time."""
    (tmp_path / "noisy_module.py").write_text(
        "import sys, threading, warnings\n"
        "print('noise'); warnings.warn('noise')\n"
        "other = threading.Thread(target=lambda: print('from another thread')); other.start(); other.join()\n"
        "sys.stdout = sys.__stdout__\n"
        "kept = sys.stderr\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
    module = import_quietly("noisy_module")
    assert module is import_quietly("noisy_module") and module.__name__ == "noisy_module"
    assert before == (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    assert capsys.readouterr() == ("from another thread\n", "")
    module.kept.write("later")  # by a handler that it may have made
    assert capsys.readouterr().err == "later"


def test_warnings_are_silenced_by_one_thread_at_a_time():
    before, inside = list(warnings.filters), threading.Event()

    def late() -> None:
        inside.set()
        with without_warnings():
            pass

    thread = threading.Thread(target=late)
    with without_warnings():
        thread.start()
        inside.wait()
        with without_warnings():  # may be nested
            warnings.warn("nobody hears it", stacklevel=1)
    thread.join()
    assert list(warnings.filters) == before


def test_a_backend_that_is_not_installed():
    """Jupyter's children inherit its MPLBACKEND, and may have another environment."""
    program = (
        "import os, ltro_jax.runs; from ltro_jax.analysis.plots import learning_curves\n"
        "assert os.environ['MPLBACKEND'] == 'module-of-nobody'"
    )
    done = run(program, MPLBACKEND="module-of-nobody")
    assert (done.returncode, done.stderr) == (0, "")


def test_public_names_come_at_first_use():
    done = run(
        "import sys, ltro_jax\n"
        "assert set(ltro_jax.__all__) <= set(dir(ltro_jax)) and not {'jax', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "from ltro_jax.config import SETTINGS, Static; assert 'jax' not in sys.modules\n"
        "from ltro_jax import Config; assert 'jax' in sys.modules and 'matplotlib' not in sys.modules\n"
        "from ltro_jax import *\n"
        "assert [name for name in ltro_jax.__all__ if name not in globals()] == [] and callable(train)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(AttributeError, match="module 'ltro_jax' has no attribute 'trian'"):
        _ = ltro_jax.trian  # pyright: ignore
    assert ltro_jax.__version__
