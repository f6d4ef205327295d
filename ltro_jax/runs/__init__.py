"""The host loop and what users open afterwards: train, resume, load a run, load a policy."""

from ltro_jax.runs.load import Run, load_run
from ltro_jax.runs.policy import Policy, load_policy
from ltro_jax.runs.train import resume, train, train_or_resume

__all__ = ["Policy", "Run", "load_policy", "load_run", "resume", "train", "train_or_resume"]
