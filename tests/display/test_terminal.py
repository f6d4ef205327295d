"""The bar on a terminal: its text, its width, its colours, and the lines that stay."""

import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from stored import made_up

from ltro_jax.display.terminal import BarLine
from ltro_jax.runs import progress_views
from ltro_jax.runs.progress import Progress

ESCAPES = re.compile(r"\033\[[0-9;]*m")


class FakeTerminal(io.TextIOWrapper):
    """A terminal of an encoding; `shown` is what it was sent."""

    def __init__(self, encoding: str = "utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@pytest.fixture
def terminal(monkeypatch) -> FakeTerminal:
    stream = FakeTerminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    streams = SimpleNamespace(stdout=stream, stderr=sys.stderr)  # pytest sets `sys.stdout` again before the test
    monkeypatch.setattr(progress_views, "sys", streams)
    return stream


def drawn(text: str) -> list[str]:
    """Each state of the line, without colours."""
    return ESCAPES.sub("", text).split("\r\033[K")[1:]


def test_a_bar_with_rate_and_time_left(terminal, settings, monkeypatch):
    """It is redrawn in place, follows the width, and stays once training ends."""
    progress = Progress(True, 8, 32, 2)
    progress.say("training: clip_happo")
    progress.advanced(4, 4, 0.5, made_up(settings, 1, 4))
    monkeypatch.setenv("COLUMNS", "60")
    progress.advanced(8, 4, 0.5, made_up(settings, 5, 4))
    progress.close()
    first, second = drawn(terminal.shown)
    assert terminal.shown.startswith("training: clip_happo\n")
    match = re.fullmatch(r"training ([━╸╺]+) (iteration 4/8, .*512 steps/s, return -?\d\.\d\d, .*0:00:00 left)", first)
    assert match and len(match[1]) == 22 and len(first) <= 99
    assert re.fullmatch(r"training ━{12} iteration 8/8, .*0:00:00 left\n", second) and len(second) <= 60


@pytest.mark.parametrize("columns", [39, 20, 2, 1])
def test_a_narrow_terminal_has_words_alone(terminal, settings, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    Progress(True, 8, 32, 2).advanced(4, 4, 0.5, made_up(settings, 1, 4))
    (line,) = drawn(terminal.shown)
    assert line.startswith("iteration 4/8"[: columns - 1]) and 0 < len(line) <= max(1, columns - 1)
    assert "━" not in line


def test_a_stage_of_unknown_length_gives_way_to_what_is_said(terminal, settings):
    progress = Progress(True, 8, 32, 2)
    with progress.stage("compiling"):
        pass
    progress.say("compiled in 1.0 s")
    (line, after) = drawn(terminal.shown)
    assert re.fullmatch(r"compiling ━{22} 0:00:00", line) and after == "compiled in 1.0 s\n"


def test_saving_is_shown_and_the_bar_of_training_stays(terminal, settings):
    progress = Progress(True, 8, 32, 2)
    progress.advanced(8, 8, 0.5, made_up(settings, 1, 8))
    with pytest.raises(OSError), progress.stage("saving"):
        raise OSError
    progress.say("finished")
    labels = [line.split()[0] for line in drawn(terminal.shown)]
    assert labels == ["training", "saving", "training"] and terminal.shown.endswith(" left\nfinished\n")


def test_a_warning_begins_on_a_line_below(terminal, settings, capsys):
    progress = Progress(True, 8, 32, 2)
    progress.advanced(4, 4, 0.5, made_up(settings, 1, 4))
    progress.warn("stopping")
    assert capsys.readouterr().err == "ltro: stopping\n" and terminal.shown.endswith(" left\n")


def test_fast_device_calls_do_not_redraw_each_time(terminal, settings):
    progress, rows = Progress(True, 10_000, 32, 2), made_up(settings, 1, 1)
    for iteration in range(1, 51):
        progress.advanced(iteration, 1, 0.001, rows)
    assert 1 <= len(drawn(terminal.shown)) < 25


def test_no_color_and_ascii(terminal, monkeypatch):
    def line(stream: Any) -> str:
        return BarLine(stream).text("training", 0.5, lambda width: "words"[:width], 80)

    assert "\033[38;5;" in line(terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[38" not in line(terminal)
    assert re.fullmatch(r"training -+ +words", ESCAPES.sub("", line(FakeTerminal("ascii"))))
    assert line(FakeTerminal("ascii")).isascii()
