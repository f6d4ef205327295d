"""The host loop and what opens its results: train, sweep, resume, load a run, load a policy."""

from ltro_jax.runs.load import Run, load_run
from ltro_jax.runs.policy import Policy, load_policy
from ltro_jax.runs.sweep import Sweep, load_sweep, resume_sweep, sweep
from ltro_jax.runs.train import resume, train, train_or_resume

__all__ = [
    "Policy",
    "Run",
    "Sweep",
    "load_policy",
    "load_run",
    "load_sweep",
    "resume",
    "resume_sweep",
    "sweep",
    "train",
    "train_or_resume",
]
