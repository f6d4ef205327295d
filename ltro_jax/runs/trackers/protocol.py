"""What a tracker is: three methods. Everything around them is in `feed.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Row(NamedTuple):
    """One iteration of one tracker run. The step is `env_steps`, per member."""

    iteration: int
    env_steps: int
    metrics: Mapping[str, float]  # by flat name; what was not measured is not in it


class Job(NamedTuple):
    """One run of the tracker."""

    label: str  # unique within the training: `seed_3`
    name: str  # for people: `spread/seed_3`
    group: str  # the training it belongs to: `spread`
    settings: Mapping[str, Any]


class Place(NamedTuple):
    """Where the tracker keeps things."""

    directory: Path  # in the run directory; may not exist yet
    project: str


class Tracker(Protocol):
    """One service, in the same three calls; made with a `Place`. Any method may raise anything.

    address: where the user's environment says to send, without a password; "" where there is nothing to compare. It is
        written down, and a later process whose own address differs is refused; it never comes from the run. A module
        that has addresses names the variable of the environment as `ADDRESS_VARIABLE`.
    """

    address: str

    def open(self, job: Job, known: str | None) -> str:
        """Start the job's run, or resume the run `known`; returns its id."""
        ...

    def log(self, run: str, rows: Sequence[Row]) -> None:
        """Add rows, oldest first; on return they are with the service or its own process, and not sent again."""
        ...

    def close(self, run: str, finished: bool) -> None:
        """No more rows from this process; `finished` tells whether the training has reached its end."""
        ...
