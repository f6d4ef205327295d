"""ltro_jax: sequential-update, trust-region multi-agent reinforcement learning with independent actors, in JAX."""

from importlib.metadata import version

from ltro_jax.config import Config, Hypers, SettingsError
from ltro_jax.presets import list_presets, load_preset
from ltro_jax.runs import (
    Policy,
    Run,
    Sweep,
    export_policy,
    load_policy,
    load_run,
    load_sweep,
    render,
    report,
    resume,
    sweep,
    train,
)
from ltro_jax.storage import RunError, RunWarning
from ltro_jax.training import Train, make_train

__version__ = version("ltro_jax")

__all__ = [
    "Config",
    "Hypers",
    "Policy",
    "Run",
    "RunError",
    "RunWarning",
    "SettingsError",
    "Sweep",
    "Train",
    "export_policy",
    "list_presets",
    "load_policy",
    "load_preset",
    "load_run",
    "load_sweep",
    "make_train",
    "render",
    "report",
    "resume",
    "sweep",
    "train",
]
