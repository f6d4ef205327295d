"""Environments make no noise and leave the process as it was."""

import subprocess
import sys

SCRIPT = """
import sys
streams = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
import jax
settings = dict(jax.config.values)
import ltro_jax
from ltro_jax.config import Static
from ltro_jax.envs import list_tasks, make_env
for task in list_tasks():
    if not task.startswith("mabrax/"):  # slow, and silent in a test of its own
        env = make_env(Static(task=task))
env.reset(jax.random.key(0))
assert all(a is b for a, b in zip(streams, (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)))
changed = [name for name, value in jax.config.values.items() if name in settings and value != settings[name]]
assert not changed, changed
"""


def test_importing_and_making_environments_is_silent():
    done = subprocess.run([sys.executable, "-W", "default", "-c", SCRIPT], capture_output=True, text=True, timeout=110)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
