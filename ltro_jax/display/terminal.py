"""A bar in the last line of a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NARROW = 40  # columns below which words have the line to themselves
LONGEST_BAR = 30


class BarLine:
    """Draws `training ━━━━━╺━━━ words` for a stream, in the characters and colours that the stream shows."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._console: Console | None = None

    def text(self, label: str, fraction: float | None, words: Callable[[int], str], width: int) -> str:
        """A line of at most `max(1, width)` columns, with escape sequences for its colours and without an end.

        Args:
            label: the stage.
            fraction: of the stage that is done, 0 … 1; None = unknown, drawn as a moving bar.
            words: the text that fits a number of columns.
        """
        from rich.progress_bar import ProgressBar

        if width < NARROW:
            return words(max(1, width))
        space = width - len(label) - 2
        columns = min(LONGEST_BAR, space // 4)
        total = None if fraction is None else 1.0
        console = self._opened()
        with console.capture() as captured:
            console.print(ProgressBar(total, fraction or 0.0, columns, pulse=fraction is None), end="")
        return f"{label} {captured.get()} {words(space - columns)}"

    def _opened(self) -> Console:
        from rich.console import Console

        if self._console is None:  # a wide console: the bar has its columns already
            self._console = Console(file=self._stream, force_terminal=True, width=10_000, highlight=False)
        return self._console


class Ticker:
    """Calls `draw` twice a second in a separate thread until `stop`."""

    def __init__(self, draw: Callable[[], None]):
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(draw,), daemon=True, name="ltro progress")
        self._thread.start()

    def stop(self) -> None:
        """Return once no further call is made."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, draw: Callable[[], None]) -> None:
        while not self._stopped.wait(0.5):
            draw()
