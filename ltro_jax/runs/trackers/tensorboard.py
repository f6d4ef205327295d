"""TensorBoard: an event file of this process for each run, under `RUN/trackers/tensorboard`."""

# the package is an extra
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import time
from collections.abc import Sequence

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from ltro_jax.runs.trackers.protocol import Job, Place, Row


class TensorBoardTracker:
    """`tensorboard --logdir RUN`, or `--logdir runs` for all of them."""

    def __init__(self, place: Place):
        self.address = ""
        self._directory = place.directory
        self._writers: dict[str, EventFileWriter] = {}

    def open(self, job: Job, known: str | None) -> str:
        self._writers[job.label] = EventFileWriter(str(self._directory / job.label))
        return job.label

    def log(self, run: str, rows: Sequence[Row]) -> None:
        writer, now = self._writers[run], time.time()
        for row in rows:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.metrics.items()]
            writer.add_event(Event(wall_time=now, step=row.env_steps, summary=Summary(value=values)))
        writer.flush()

    def close(self, run: str, finished: bool) -> None:
        self._writers[run].close()
