"""Send the metric store to trackers: every iteration once, from any number of processes; no failure is fatal.

On disk:
    trackers/<name>.json   project, grouping, address, and the id and last iteration of each tracker run; the address
                           is only compared: the user decides where to send
    trackers/<name>/       files of the tracker
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import xarray as xr

from ltro_jax.config import Config, SettingsError
from ltro_jax.config.coercion import number_text
from ltro_jax.process.files import remove_leftovers
from ltro_jax.runs.load import Run
from ltro_jax.runs.scoring import flat_metrics
from ltro_jax.runs.trackers.places import refuse_links_out
from ltro_jax.runs.trackers.protocol import Job, Place, Row, Tracker
from ltro_jax.storage import MetricStore, RunDirectory, RunError
from ltro_jax.storage.errors import one_line

Result = TypeVar("Result")
CLASSES = {"wandb": "WandbTracker", "tensorboard": "TensorBoardTracker", "mlflow": "MlflowTracker"}
PIECE = 1000  # most values of one tracker run in a request


def require_trackers(names: Sequence[str]) -> None:
    """Reject trackers whose package is not installed.

    Raises:
        SettingsError: a package is missing; the message names the extra.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # an output folder of wandb has a spec, but no origin
            raise SettingsError(
                f"tracker = {name} needs the extra 'trackers', which is not installed; install it with "
                "pip install -c constraints.txt -e '.[trackers]', or leave the tracker out with --tracker none"
            )


class Trackers:
    """The trackers of a process that trains a run; a tracker that fails receives no more rows.

    A separate thread sends the rows, one call of `log` at a time, so that training does not wait.
    """

    def __init__(self, directory: RunDirectory, config: Config, failed: Callable[[str, Exception], None]):
        """`failed(name, error)` is called for a tracker that fails."""
        self._failed = failed
        self._thread = ThreadPoolExecutor(1, "trackers")
        self._sending: Future[None] | None = None
        self._feeds: dict[str, Feed] = {}
        for name in config.run.tracker:
            feed = self._guarded(name, lambda name=name: Feed(name, directory, config))
            if feed:
                self._feeds[name] = feed

    def start(self, store: MetricStore) -> dict[str, int]:
        """Open the runs of every tracker and send missing rows; return the number of iterations by tracker."""
        self._wait()
        sent = {name: self._guarded(name, lambda feed=feed: feed.start(store)) for name, feed in self._now()}
        return {name: count for name, count in sent.items() if count is not None}

    def log(self, rows: xr.Dataset) -> None:
        """Start to send stored rows, after the rows before them are sent."""
        self._wait()
        if self._feeds:
            self._sending = self._thread.submit(self._send, rows)

    def close(self, finished: bool) -> None:
        """Wait until all rows are sent; this process sends no more."""
        self._wait()
        for name, feed in self._now():
            self._guarded(name, lambda feed=feed: feed.close(finished))
        self._feeds.clear()
        self._thread.shutdown()

    def _send(self, rows: xr.Dataset) -> None:
        for name, feed in self._now():
            self._guarded(name, lambda feed=feed: feed.send(rows))

    def _wait(self) -> None:
        if self._sending:
            self._sending.result()
            self._sending = None

    def _now(self) -> list[tuple[str, "Feed"]]:
        return list(self._feeds.items())

    def _guarded(self, name: str, do: Callable[[], Result]) -> Result | None:
        try:
            return do()
        except Exception as error:  # a network, a service or a disk: the run directory has the metrics anyway
            self._feeds.pop(name, None)
            self._failed(name, error)
            return None


class Feed:
    """One tracker, its runs of this training, and the last iteration of each."""

    def __init__(self, name: str, directory: RunDirectory, config: Config):
        self._directory, self._config, self._file = directory, config, f"trackers/{name}.json"
        self._kept = {"project": config.run.tracker_project, "group": config.run.tracker_group, "address": ""}
        self._opened = False
        self._ids: dict[str, str] = {}
        self._fed: dict[str, int] = {}
        folder = directory.path / "trackers" / name
        refuse_links_out(directory.path, folder.parent, directory.path / self._file, folder)
        if (directory.path / self._file).exists():
            self._recall()
        module = importlib.import_module(f"ltro_jax.runs.trackers.{name}")
        self._tracker: Tracker = getattr(module, CLASSES[name])(Place(folder, self._kept["project"]))
        self._check_address(name, getattr(module, "ADDRESS_VARIABLE", ""))

    def start(self, store: MetricStore) -> int:
        """Open the runs, new or known, and send missing rows of the store; return the number of iterations sent."""
        (self._directory.path / "trackers").mkdir(exist_ok=True)
        remove_leftovers(self._directory.path / "trackers")
        for job in () if self._opened else self._jobs():
            self._ids[job.label] = self._tracker.open(job, self._ids.get(job.label))
            self._fed.setdefault(job.label, 0)
        self._opened = True
        self._keep()
        behind, stored = min(self._fed.values()), store.last_iteration()
        if stored > behind:
            self.send(store.load(after=behind))
        return max(0, stored - behind)

    def send(self, rows: xr.Dataset) -> None:
        """Send the missing rows of each run in pieces; a piece is a range of iterations of all runs.

        The state is written before each piece, which then counts as sent. If the process is killed, the runs that have
        not received the current piece lack it, and nothing is sent twice. After an error, the state is written again:
        a later process sends the piece again to the run that failed and to the runs after it.
        """
        flat = flat_metrics(rows)
        names, members = list(flat), self._members()
        table = np.stack([values.astype(float) for values in flat.values()], -1)  # [member, iteration, metric]
        iterations, env_steps = rows["iteration"].values, rows["env_steps"].values
        first = int(np.searchsorted(iterations, min(self._fed.values()), "right"))
        length = max(1, PIECE // (len(names) * max(map(len, members.values()))))
        for start in range(first, len(iterations), length):
            piece = slice(start, min(start + length, len(iterations)))
            self._send_piece(names, members, table[:, piece], iterations[piece].tolist(), env_steps[piece].tolist())

    def _send_piece(
        self,
        names: Sequence[str],
        members: Mapping[str, Mapping[int, str]],
        table: np.ndarray,
        iterations: Sequence[int],
        env_steps: Sequence[int],
    ) -> None:
        before = dict(self._fed)
        self._fed = {label: max(fed, iterations[-1]) for label, fed in before.items()}
        self._keep()
        done: set[str] = set()
        try:
            for label, prefixes in members.items():
                new = [at for at, iteration in enumerate(iterations) if iteration > before[label]]
                if new:
                    values = {prefix: table[member].tolist() for member, prefix in prefixes.items()}
                    self._tracker.log(
                        self._ids[label], [Row(iterations[at], env_steps[at], _values(names, values, at)) for at in new]
                    )
                done.add(label)
        except Exception:
            self._fed = {label: fed if label in done else before[label] for label, fed in self._fed.items()}
            self._keep()
            raise

    def close(self, finished: bool) -> None:
        """Close every run for this process."""
        for run in self._ids.values():
            self._tracker.close(run, finished)

    def _members(self) -> dict[str, dict[int, str]]:
        """Label of a tracker run → index of each member → prefix of the names of its metrics."""
        axes = [axis for axis, _ in self._config.run.grid]
        names = [
            "-".join([*(f"{axis}_{number_text(getattr(member.hypers, axis))}" for axis in axes), f"seed_{member.seed}"])
            for member in self._config.members
        ]
        if self._kept["group"] == "one_run":
            return {"all": {index: f"{name}/" for index, name in enumerate(names)}}
        return {name: {index: ""} for index, name in enumerate(names)}

    def _jobs(self) -> Iterator[Job]:
        training, settings, members = self._directory.name, self._config.to_dict(), self._config.members
        for label, prefixes in self._members().items():
            if label == "all":
                yield Job(label, training, training, settings)
            else:
                member = members[next(iter(prefixes))]
                point = {axis: getattr(member.hypers, axis) for axis, _ in self._config.run.grid}
                yield Job(label, f"{training}/{label}", training, settings | point | {"seed": member.seed})

    def _check_address(self, name: str, variable: str) -> None:
        """Compare the address of the user with the address of the known runs.

        Raises:
            RunError: they differ.
        """
        known, now = self._kept["address"], self._tracker.address
        if self._ids and known != now:
            raise RunError(
                f"this run was first tracked by {name} at {known or 'no address'}, not at {now}; set {variable} to "
                f"that address if you trust it, or delete {self._directory.path / self._file} to start new tracker runs"
            )
        self._kept["address"] = now

    def _recall(self) -> None:
        kept = self._directory.read_json(self._file)
        for name in ("project", "group"):
            if kept[name] != self._kept[name]:
                raise RunError(
                    f"tracker_{name} = {self._kept[name]} is not what this run was first tracked with "
                    f"({kept[name]}); give that, or delete {self._directory.path / self._file} to start new runs there"
                )
        self._kept = {name: str(kept[name]) for name in self._kept}
        self._ids = {label: str(run["id"]) for label, run in kept["runs"].items()}
        self._fed = {label: int(run["iteration"]) for label, run in kept["runs"].items()}

    def _keep(self) -> None:
        runs = {label: {"id": self._ids[label], "iteration": fed} for label, fed in self._fed.items()}
        self._directory.write_json(self._file, self._kept | {"runs": runs})


def track(run: Run, trackers: Sequence[str], project: str | None = None, group: str | None = None) -> Mapping[str, int]:
    """Send the metrics of a run to trackers later; nothing is sent twice.

    Args:
        trackers: names of trackers.
        project, group: as the settings `tracker_project` and `tracker_group`; None = the settings of the run.
    Returns:
        The number of iterations sent, by tracker.
    Raises:
        SettingsError: a tracker is unknown or not installed.
        RunError: a tracker fails, another process is writing to the run, or there are no metrics.
    """
    given = {"tracker": tuple(trackers), "tracker_project": project, "tracker_group": group}
    config = run.config.replace(**{name: value for name, value in given.items() if value is not None})
    require_trackers(config.run.tracker)

    def failed(name: str, error: Exception) -> None:
        raise error if isinstance(error, RunError) else RunError(f"tracker {name} failed: {one_line(error)}") from error

    store = MetricStore(run.directory.metrics)
    store.load(after=max(0, store.last_iteration() - 1))  # raises before anything is opened
    with run.directory.lock():
        feeds = Trackers(run.directory, config, failed)
        sent = feeds.start(store)
        feeds.close(run.finished)
    return sent


def _values(names: Sequence[str], values: Mapping[str, Sequence[Sequence[float]]], at: int) -> dict[str, float]:
    """The metrics of some members at one iteration, with prefixed names; NaN (not measured) is left out."""
    return {
        prefix + name: value
        for prefix, rows in values.items()
        for name, value in zip(names, rows[at], strict=True)
        if value == value
    }
