"""Weights & Biases. `WANDB_MODE=offline` writes to `RUN/trackers/wandb` only, for `wandb sync` later."""

# the package is an extra
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import inspect
import os
from collections.abc import Sequence
from typing import Any

import wandb

from ltro_jax.runs.trackers.places import quiet, require_reachable
from ltro_jax.runs.trackers.protocol import Job, Place, Row
from ltro_jax.storage import RunError

ADDRESS_VARIABLE = "WANDB_BASE_URL"
INIT_TIMEOUT = 5.0  # seconds; the default of wandb is 90
FLUSH = {"WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1"}  # seconds of rows that are lost if the process is killed


class WandbTracker:
    """Entity, server, key and mode come from the environment variables and login of wandb. Never prompts the user."""

    def __init__(self, place: Place):
        self.address = ""  # wandb takes server and entity from the environment of the user only
        _require_login()
        self._place = place
        self._runs: dict[str, Any] = {}

    def open(self, job: Job, known: str | None) -> str:
        self._place.directory.mkdir(parents=True, exist_ok=True)
        patience = {} if "WANDB_INIT_TIMEOUT" in os.environ else {"init_timeout": INIT_TIMEOUT}
        with quiet(FLUSH):
            run = wandb.init(
                project=self._place.project,
                group=job.group,
                name=job.name,
                id=known,
                resume="allow",
                reinit="create_new",  # members have runs side by side
                dir=str(self._place.directory.parent),  # wandb appends its name
                config=dict(job.settings),
                settings=wandb.Settings(silent=True, console="off", **patience),
            )
        self._runs[run.id] = run
        return run.id

    def log(self, run: str, rows: Sequence[Row]) -> None:
        for row in rows:
            self._runs[run].log(dict(row.metrics), step=row.env_steps, commit=True)

    def close(self, run: str, finished: bool) -> None:
        self._runs[run].finish(exit_code=0 if finished else 130)


def _require_login() -> None:
    """Raise an error before wandb prompts on the terminal or waits for an unreachable server.

    Raises:
        RunError: wandb is online, and there is no login or no connection.
    """
    settings = wandb.setup().settings  # includes the environment and the files of wandb
    if settings.mode not in (None, "online", "run"):
        return
    if "prompt" in inspect.signature(wandb.login).parameters:
        spoken, settings.silent = settings.silent, True  # otherwise it queries the server for the user name
        try:
            known = wandb.login(prompt=False, verify=False)
        finally:
            settings.silent = spoken
    else:  # an older wandb
        known = wandb.api.api_key or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    if not known:
        raise RunError("wandb is not logged in; run `wandb login`, or set WANDB_MODE=offline and `wandb sync` later")
    require_reachable(settings.base_url, ADDRESS_VARIABLE)
