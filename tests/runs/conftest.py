"""Runs that several files look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ltro_jax import Config, Run, train


@pytest.fixture(scope="session")
def settings(tiny: Callable[..., Config]) -> Config:
    """Two seeds, 8 iterations in device calls of 2, checkpoints at 4 and 8."""
    return tiny(seeds=(3, 7), actor_lr=0.01)


@pytest.fixture(scope="module")
def finished(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was never interrupted; not to be changed."""
    path: Path = tmp_path_factory.mktemp("runs") / "finished"
    return train(settings, path, progress=False, command="ltro train ...")
