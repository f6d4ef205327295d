"""TensorBoard: one event file per run and process, under `RUN/trackers/tensorboard`."""

# the package is an extra
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from ltro_jax.runs.trackers.places import refuse_links_out
from ltro_jax.runs.trackers.protocol import Job, Place, Row


class TensorBoardTracker:
    """Shown by `tensorboard --logdir RUN`, or `--logdir runs` for all runs.

    A file is open only while rows are added: a process cannot hold a thousand files open.
    """

    def __init__(self, place: Place):
        self.address = ""
        self._directory = place.directory
        self._files: dict[str, Path] = {}

    def open(self, job: Job, known: str | None) -> str:
        directory = self._directory / job.label
        refuse_links_out(self._directory.parent, directory)
        directory.mkdir(parents=True, exist_ok=True)
        stamp = f"{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.{time.time_ns()}"
        self._files[job.label] = directory / f"events.out.tfevents.{stamp}"
        self._write(job.label, [Event(wall_time=time.time(), file_version="brain.Event:2")], "xb")
        return job.label

    def log(self, run: str, rows: Sequence[Row]) -> None:
        now, events = time.time(), []
        for row in rows:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.metrics.items()]
            events.append(Event(wall_time=now, step=row.env_steps, summary=Summary(value=values)))
        self._write(run, events, "ab")

    def close(self, run: str, finished: bool) -> None:
        pass

    def _write(self, run: str, events: Sequence[Event], mode: str) -> None:
        with open(self._files[run], mode) as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
