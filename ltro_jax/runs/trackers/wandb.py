"""Weights & Biases. `WANDB_MODE=offline` writes to `RUN/trackers/wandb` only, for `wandb sync` later."""

# the package is an extra
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import os
from collections.abc import Sequence
from typing import Any

import wandb

from ltro_jax.runs.trackers.protocol import Job, Place, Row


class WandbTracker:
    """Entity, server, key and mode are taken from wandb's own environment variables and login."""

    def __init__(self, place: Place):
        self.address = ""
        os.environ.setdefault("WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL", "1")  # seconds of rows that a kill may cost
        self._place = place
        self._runs: dict[str, Any] = {}

    def open(self, job: Job, known: str | None) -> str:
        self._place.directory.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self._place.project,
            group=job.group,
            name=job.name,
            id=known,
            resume="allow",
            reinit="create_new",  # members have runs side by side
            dir=str(self._place.directory.parent),  # wandb adds its own name
            config=dict(job.settings),
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._runs[run.id] = run
        return run.id

    def log(self, run: str, rows: Sequence[Row]) -> None:
        for row in rows:
            self._runs[run].log(dict(row.metrics), step=row.env_steps, commit=True)

    def close(self, run: str, finished: bool) -> None:
        self._runs[run].finish(exit_code=0 if finished else 130)
