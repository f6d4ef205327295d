"""A tiny run made by the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ltro_jax import Config
from ltro_jax.cli import main


@pytest.fixture(scope="session")
def options(tiny: Callable[..., Config]) -> list[str]:
    """The tiny settings as options."""
    settings, defaults = tiny(seeds=(3, 7), actor_lr=0.01).to_dict(), Config().to_dict()
    changed = {name: value for name, value in settings.items() if name != "task" and value != defaults[name]}
    texts = {name: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in changed.items()}
    return [word for name, text in texts.items() for word in (f"--{name}", text)]


@pytest.fixture(scope="module")
def trained(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds; not to be changed."""
    path = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "probe/matching", "--quiet", "--out", str(path), *options]) == 0
    return path
