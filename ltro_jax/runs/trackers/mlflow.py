"""MLflow: the server of `MLFLOW_TRACKING_URI`, else the default of MLflow, a database in the working directory."""

# the package is an extra
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from ltro_jax.runs.trackers.places import quiet, require_reachable, without_password
from ltro_jax.runs.trackers.protocol import Job, Place, Row
from ltro_jax.storage import RunError
from ltro_jax.storage.errors import one_line

ADDRESS_VARIABLE = "MLFLOW_TRACKING_URI"
BATCH = {"metrics": 1000, "params": 100}  # the most that one request may hold
FILE = "sqlite:///"


class MlflowTracker:
    """One experiment for the project; the runs of one training have its name as the tag `group`."""

    def __init__(self, place: Place):
        address = _absolute(mlflow.get_tracking_uri())
        self.address, self._secret = without_password(address), address
        require_reachable(address, ADDRESS_VARIABLE)
        with self._calls(seconds=2, retries=0):  # a server that hangs must not delay the start
            self._client = MlflowClient(address)
            self._client.get_experiment_by_name(place.project)
        self._project = place.project

    def open(self, job: Job, known: str | None) -> str:
        with self._calls():
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
        with self._calls():
            for start in range(0, len(metrics), BATCH["metrics"]):
                self._client.log_batch(run, metrics=metrics[start : start + BATCH["metrics"]])

    def close(self, run: str, finished: bool) -> None:
        with self._calls():
            self._client.set_terminated(run, "FINISHED" if finished else "KILLED")

    def _experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(self._project)
        try:
            return experiment.experiment_id if experiment else self._client.create_experiment(self._project)
        except MlflowException:  # another process was faster
            return self._client.get_experiment_by_name(self._project).experiment_id  # type: ignore[union-attr]

    @contextmanager
    def _calls(self, seconds: int = 20, retries: int = 1) -> Iterator[None]:
        """Shorten the timeouts of MLflow (120 s, 7 retries) unless the user sets them; hide passwords in its errors."""
        defaults = {
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        }
        with quiet(defaults, "mlflow", "alembic", "urllib3"):  # do not report a new database
            try:
                yield
            except MlflowException as error:
                text = str(error).replace(self._secret, self.address)
                raise RunError(f"MLflow at {self.address} rejects the request: {one_line(Exception(text))}") from None


def _absolute(address: str) -> str:
    """The absolute address of a database, so that another working directory is another address."""
    name = address.removeprefix(FILE)
    if name == address or name.startswith(("/", ":memory:")) or not name:
        return address
    return FILE + str(Path(name).absolute())
