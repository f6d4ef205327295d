"""MLflow: the server of `MLFLOW_TRACKING_URI`, else MLflow's own default, a database in the working directory."""

# the package is an extra
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import logging
import os
import time
from collections.abc import Sequence

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from ltro_jax.runs.trackers.protocol import Job, Place, Row

BATCH = {"metrics": 1000, "params": 100}  # the most that one request may hold


class MlflowTracker:
    """One experiment for the project; runs of one training carry its name as the tag `group`."""

    def __init__(self, place: Place):
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")  # gives up after half a minute, not four
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)  # a new database is no news
        self.address = place.address or mlflow.get_tracking_uri()
        self._client = MlflowClient(self.address)
        self._project = place.project

    def open(self, job: Job, known: str | None) -> str:
        if known:
            self._client.update_run(known, "RUNNING")
            return known
        run = self._client.create_run(self._experiment(), run_name=job.name, tags={"group": job.group}).info.run_id
        params = [Param(name, str(value)[:500]) for name, value in job.settings.items()]
        for start in range(0, len(params), BATCH["params"]):
            self._client.log_batch(run, params=params[start : start + BATCH["params"]])
        return run

    def log(self, run: str, rows: Sequence[Row]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, row.env_steps) for row in rows for name, value in row.metrics.items()]
        for start in range(0, len(metrics), BATCH["metrics"]):
            self._client.log_batch(run, metrics=metrics[start : start + BATCH["metrics"]])

    def close(self, run: str, finished: bool) -> None:
        self._client.set_terminated(run, "FINISHED" if finished else "KILLED")

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._project)
        try:
            return found.experiment_id if found else self._client.create_experiment(self._project)
        except MlflowException:  # another process was faster
            return self._client.get_experiment_by_name(self._project).experiment_id  # type: ignore[union-attr]
