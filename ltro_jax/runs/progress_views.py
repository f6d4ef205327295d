"""The ways to show progress: lines, JSON lines, a bar on a terminal, an output of a notebook cell, or nothing."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from ltro_jax.display.curve import NO_CURVE, Curve, curve_svg, joined, make_curve
from ltro_jax.display.html import bar, card, paragraph
from ltro_jax.display.notebook import Handle, Show, in_notebook, show_in_cell
from ltro_jax.display.terminal import BarLine, Ticker
from ltro_jax.process.streams import emit, is_terminal, was_lost
from ltro_jax.runs.scoring import metric_words, resolve_metric

Mode = bool | Literal["json"]  # lines of text, nothing, or a JSON object on each line
TRAINING = "training"


class Update(NamedTuple):
    """The state of a run after a device call."""

    record: dict[str, Any]  # plain values for JSON
    words: Callable[[int | None], str]  # the record as text of at most so many characters
    fraction: float  # of all iterations
    rows: xr.Dataset  # metrics of the device call


class View:
    """Shows nothing; the other views override what they show."""

    def say(self, text: str) -> None:
        """A message."""

    def stage(self, label: str) -> AbstractContextManager[None]:
        """For the time of a stage other than training: compiling, saving."""
        return nullcontext()

    def show(self, update: Update) -> None:
        """The result of a device call."""

    def end_line(self) -> None:
        """End an open line before something is written to another stream."""

    def close(self) -> None:
        """The last call: training has ended, stopped or failed."""


class JsonLines(View):
    """Every record and message as a JSON object on a line."""

    def say(self, text: str) -> None:
        put(json.dumps({"event": "message", "text": text}) + "\n")

    def show(self, update: Update) -> None:
        put(json.dumps(update.record) + "\n")


class Lines(View):
    """A line at most every five seconds, and the last."""

    def __init__(self) -> None:
        self._printed = 0.0

    def say(self, text: str) -> None:
        put(text + "\n")

    def show(self, update: Update) -> None:
        if update.fraction >= 1.0 or time.monotonic() - self._printed >= 5.0:
            self._printed = time.monotonic()
            put(update.words(None) + "\n")


class Terminal(View):
    """A bar for each stage, redrawn in place at most ten times a second."""

    def __init__(self, stream: Any):
        self._bar = BarLine(stream)
        self._lock = threading.RLock()  # the ticker draws too; a signal may interrupt a call of the main thread
        self._label = TRAINING
        self._update: Update | None = None
        self._drawn = self._began = 0.0
        self._open = False

    def say(self, text: str) -> None:
        with self._lock:
            self.end_line()
            put(text + "\n")

    @contextmanager
    def stage(self, label: str) -> Iterator[None]:
        with self._lock:
            self._label, self._began = label, time.monotonic()
            self._draw()
        ticker = Ticker(self._draw) if self._update is None else None
        try:
            yield
        finally:
            if ticker:
                ticker.stop()
            with self._lock:
                self._label = TRAINING
                if self._open and self._update is not None:
                    self._draw()
                elif self._open:
                    self.end_line()

    def show(self, update: Update) -> None:
        self._update = update
        if update.fraction >= 1.0 or time.monotonic() - self._drawn >= 0.1:
            with self._lock:
                self._draw()

    def end_line(self) -> None:
        with self._lock:
            if self._open:
                put("\n" if self._update is not None else "\r\033[K")
            self._open = False

    def close(self) -> None:
        self.end_line()

    def _draw(self) -> None:
        with self._lock:
            width = shutil.get_terminal_size().columns - 1  # a character in the last column makes some terminals wrap
            known = self._update
            words = known.words if known else self._elapsed
            line = self._bar.text(self._label, known.fraction if known else None, words, width)
            put(f"\r\033[K{line}")
            self._open, self._drawn = True, time.monotonic()

    def _elapsed(self, width: int | None) -> str:
        return str(timedelta(seconds=int(time.monotonic() - self._began)))[:width]


class Notebook(View):
    """A bar and a learning curve in the output of a cell, updated at most once a second and once at the end.

    Messages that come before the first stage are printed; later ones stand below the curve.
    """

    def __init__(self, show: Show = show_in_cell):
        self._show = show
        self._handle: Handle | None = None
        self._failed = False
        self._label, self._update = TRAINING, None
        self._messages: list[str] = []
        self._metric = self._words = ""  # of the curve
        self._curve = NO_CURVE  # up to the last update of the output
        self._steps: list[float] = []  # of the device calls since
        self._values: list[np.ndarray] = []  # their values, [S]
        self._drawn = 0.0

    def say(self, text: str) -> None:
        if self._handle is None:
            put(text + "\n")
        else:
            self._messages.append(text)
            self._render()

    @contextmanager
    def stage(self, label: str) -> Iterator[None]:
        self._label = label
        if self._update is None or time.monotonic() - self._drawn >= 1.0:
            self._render()
        try:
            yield
        finally:
            self._label = TRAINING

    def show(self, update: Update) -> None:
        self._update: Update | None = update
        if not self._metric:
            self._metric = resolve_metric(list(map(str, update.rows.data_vars)))
            self._words = metric_words(self._metric, update.rows.attrs["team_reward"])
        self._steps.append(float(update.rows["env_steps"].values[-1]))
        self._values.append(update.rows[self._metric].values[:, -1])
        if time.monotonic() - self._drawn >= 1.0:
            self._render()

    def close(self) -> None:
        self._label = "finished" if self._update and self._update.fraction >= 1.0 else "stopped"
        if self._handle is not None:
            self._render()

    def _render(self) -> None:
        if self._failed:
            return
        self._drawn = time.monotonic()
        try:
            bundle = {"text/html": self._html(), "text/plain": self._text()}
            if self._handle is None:
                self._handle = self._show(bundle)
            else:
                self._handle.update(bundle)
        except Exception as error:  # training does not depend on the page
            self._failed = True
            emit(f"ltro: the notebook cannot show progress ({error}); training continues\n", sys.stderr)

    def _html(self) -> str:
        known = self._update
        return card(
            self._label,
            *([paragraph(known.words(None)), bar(known.fraction)] if known else []),
            curve_svg([self._extended_curve()], self._words),
            *map(paragraph, self._messages),
        )

    def _extended_curve(self) -> Curve:
        """The curve with the device calls since the last update; only their statistics are computed."""
        if self._values:
            new = make_curve("", np.array(self._steps), np.stack(self._values, axis=1))
            self._curve = joined(self._curve, new)
            self._steps, self._values = [], []
        return self._curve

    def _text(self) -> str:
        words = [self._update.words(None)] if self._update else []
        return "\n".join([self._label, *words, *self._messages])


def make_view(mode: Mode) -> View:
    """The view for `mode` and for where this process prints."""
    if mode == "json":
        return JsonLines()
    if not mode:
        return View()
    if in_notebook():
        return Notebook()
    return Terminal(sys.stdout) if is_terminal(sys.stdout) else Lines()


def put(text: str) -> None:
    """Print to standard output; if that fails, print one warning and continue."""
    known = was_lost()
    reason = emit(text, sys.stdout)
    if reason and not known:
        emit(f"ltro: standard output accepts no more text ({reason}); training continues\n", sys.stderr)
