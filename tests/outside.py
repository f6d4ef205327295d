"""A module of update rules that nobody has imported, for tests of what comes from outside the package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ltro_jax.process import references

NAME = "rules_of_a_stranger"
MODULE = """
import jax
import jax.numpy as jnp

from ltro_jax.algorithms.ppo import HAPPO


class Halved(HAPPO):
    defaults = {"factor_clip": 0.5, "actor_epochs": 1}


class Poisoned(Halved):
    def weight(self, log_product, batch, hypers):
        return jnp.full_like(log_product, jnp.nan)


class Shorter(Halved):
    def update(self, key, agent, *others):
        agent, info = super().update(key, agent, *others)
        return agent.replace(opt_state=()), info


class Rounded(Halved):
    def update(self, key, agent, *others):
        agent, info = super().update(key, agent, *others)
        return agent.replace(params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), agent.params)), info


class Silent(Halved):
    def update(self, key, agent, *others):
        return agent
"""


@contextmanager
def stranger(folder: Path, source: str = MODULE) -> Iterator[str]:
    """The name of a module in `folder`, which lies on no path; all permissions and imports end with the context."""
    (folder / f"{NAME}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)  # the next source may have the same size and time
        patch.setattr(sys, "path", list(sys.path))
        for name, empty in (("_allowed", set()), ("_folders", []), ("_given", {})):
            patch.setattr(references, name, empty)
        patch.delenv(references.VARIABLE, raising=False)
        forget()
        yield NAME
        forget()


def forget() -> None:
    """As in a process that has not imported the module."""
    sys.modules.pop(NAME, None)
    sys.path_importer_cache.clear()
