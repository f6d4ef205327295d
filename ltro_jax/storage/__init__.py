"""The files of a run. Handles pytrees, dictionaries and datasets, independently of training."""

from ltro_jax.storage.checkpoints import (
    Restored,
    has_checkpoints,
    list_checkpoints,
    newest_checkpoint,
    restore_checkpoint,
    save_checkpoint,
    truncate_checkpoints,
)
from ltro_jax.storage.errors import RunError, RunWarning
from ltro_jax.storage.metrics import MetricStore
from ltro_jax.storage.run_directory import RunDirectory, claim_directory, json_text, output_directory
from ltro_jax.storage.timing import Stretch, load_stretches, record_stretch

__all__ = [
    "MetricStore",
    "Restored",
    "RunDirectory",
    "RunError",
    "RunWarning",
    "Stretch",
    "claim_directory",
    "has_checkpoints",
    "json_text",
    "list_checkpoints",
    "load_stretches",
    "newest_checkpoint",
    "output_directory",
    "record_stretch",
    "restore_checkpoint",
    "save_checkpoint",
    "truncate_checkpoints",
]
