"""The README's Python runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def first_words(block: str) -> str:
    """A name for the block: its first call of the library."""
    return next(iter(re.findall(r"(?:ltro_jax|config)\.(\w+)\(", block)), "block")


@pytest.mark.parametrize("block", BLOCKS, ids=first_words)
def test_a_block_runs(block, tmp_path):
    """In a process and a directory of its own, without a word on stderr."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-W", "error::UserWarning:ltro_jax", "-c", block]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=270)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_there_are_blocks():
    assert len(BLOCKS) >= 3
