"""Training as pure functions: init, rollout, returns, iteration, evaluation."""

from ltro_jax.training.program import Train, make_train

__all__ = ["Train", "make_train"]
