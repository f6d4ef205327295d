"""Experiment trackers: Weights & Biases, TensorBoard, MLflow. A package is imported only if the settings name it."""

from ltro_jax.runs.trackers.feed import Trackers, require_trackers, track

__all__ = ["Trackers", "require_trackers", "track"]
