"""ltro_jax: sequential-update, trust-region multi-agent reinforcement learning with independent actors, in JAX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ltro_jax.config import defaults
from ltro_jax.process.imports import first_use

if TYPE_CHECKING:
    from ltro_jax.algorithms import Position, UpdateRule
    from ltro_jax.config import Config, Hypers, SettingsError
    from ltro_jax.export.film import render
    from ltro_jax.export.policy import export_policy
    from ltro_jax.presets import list_presets, load_preset
    from ltro_jax.reports.plot import plot
    from ltro_jax.reports.report import report
    from ltro_jax.runs import (
        Policy,
        Run,
        Sweep,
        load_policy,
        load_run,
        load_sweep,
        resume,
        sweep,
        train,
    )
    from ltro_jax.storage import RunError, RunWarning
    from ltro_jax.training import Train, make_train

    __version__: str

__all__ = [
    "Config",
    "Hypers",
    "Policy",
    "Position",
    "Run",
    "RunError",
    "RunWarning",
    "SettingsError",
    "Sweep",
    "Train",
    "UpdateRule",
    "export_policy",
    "list_presets",
    "load_policy",
    "load_preset",
    "load_run",
    "load_sweep",
    "make_train",
    "plot",
    "render",
    "report",
    "resume",
    "sweep",
    "train",
]

# Imported at first use: `ltro --help`, which passes here, does not wait for JAX.
_ROOMS = {
    "algorithms": ("Position", "UpdateRule"),
    "export.film": ("render",),
    "export.policy": ("export_policy",),
    "reports.plot": ("plot",),
    "reports.report": ("report",),
    "config": ("Config", "Hypers", "SettingsError"),
    "presets": ("list_presets", "load_preset"),
    "storage": ("RunError", "RunWarning"),
    "training": ("Train", "make_train"),
}
_LATER = {name: "runs" for name in __all__} | {name: room for room, names in _ROOMS.items() for name in names}


def _defaults_of(algorithm: str) -> Mapping[str, Any]:
    from ltro_jax.algorithms import default_settings

    return default_settings(algorithm)


defaults.connect(_defaults_of)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ltro_jax")
    return first_use(__name__, _LATER, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
