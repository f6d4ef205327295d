"""Storage: everything a run leaves on disk. Knows pytrees, dictionaries and datasets, nothing of training."""

from ltro_jax.storage.atomic import RunError
from ltro_jax.storage.checkpoints import (
    Restored,
    has_checkpoints,
    list_checkpoints,
    restore_checkpoint,
    save_checkpoint,
    truncate_checkpoints,
)
from ltro_jax.storage.metrics import MetricStore
from ltro_jax.storage.run_directory import RunDirectory, json_text

__all__ = [
    "MetricStore",
    "Restored",
    "RunDirectory",
    "RunError",
    "has_checkpoints",
    "json_text",
    "list_checkpoints",
    "restore_checkpoint",
    "save_checkpoint",
    "truncate_checkpoints",
]
