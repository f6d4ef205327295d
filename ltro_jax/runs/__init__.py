"""The host loop and what users open afterwards: train, sweep, resume, load a run, load a policy, report."""

from ltro_jax.runs.export_policy import export_policy
from ltro_jax.runs.load import Run, load_run
from ltro_jax.runs.policy import Policy, load_policy
from ltro_jax.runs.render import render
from ltro_jax.runs.report import report
from ltro_jax.runs.sweep import Sweep, load_sweep, resume_sweep, sweep
from ltro_jax.runs.train import resume, train, train_or_resume

__all__ = [
    "Policy",
    "Run",
    "Sweep",
    "export_policy",
    "load_policy",
    "load_run",
    "load_sweep",
    "render",
    "report",
    "resume",
    "resume_sweep",
    "sweep",
    "train",
    "train_or_resume",
]
