"""Experiment trackers beside the run directory: Weights & Biases, TensorBoard, MLflow. Imported only when asked for."""

from ltro_jax.runs.trackers.feed import Trackers, require_trackers, track

__all__ = ["Trackers", "require_trackers", "track"]
