"""The interface of a tracker: three methods, called by `feed.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Row(NamedTuple):
    """One iteration of one tracker run. The step is `env_steps`, per member."""

    iteration: int
    env_steps: int
    metrics: Mapping[str, float]  # by flat name, without metrics that were not measured


class Job(NamedTuple):
    """One run of the tracker."""

    label: str  # unique within the training: `seed_3`
    name: str  # for display: `spread/seed_3`
    group: str  # the training it belongs to: `spread`
    settings: Mapping[str, Any]


class Place(NamedTuple):
    """Where the tracker stores its data."""

    directory: Path  # in the run directory; may not exist yet
    project: str


class Tracker(Protocol):
    """One service, constructed with a `Place`. Any method may raise any exception.

    address: destination from the environment of the user, without a password; "" if there is nothing to compare. It
        is stored, and a later process with another address is rejected; it never comes from the run. A module that
        has addresses names the environment variable as `ADDRESS_VARIABLE`.
    """

    address: str

    def open(self, job: Job, known: str | None) -> str:
        """Start the job's run, or resume the run `known`; returns its id."""
        ...

    def log(self, run: str, rows: Sequence[Row]) -> None:
        """Add rows, oldest first; after the return, the service has them and they are not sent again."""
        ...

    def close(self, run: str, finished: bool) -> None:
        """This process sends no more rows; `finished` = the training has reached its end."""
        ...
