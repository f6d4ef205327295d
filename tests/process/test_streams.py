"""Printing never fails, whatever the stream is like; the words of a progress line fit a width."""

import errno
import io
import os
import sys

import pytest

from ltro_jax.process.streams import emit, is_terminal, was_lost
from ltro_jax.runs.progress import Progress, _line

RECORD = {
    "iteration": 12,
    "num_iterations": 5000,
    "env_steps": 48_000,
    "members": 10,
    "steps_per_second": 123_456.0,
    "seconds_left": 7384.0,
    "episode_return": -123.456,
    "eval_return_greedy": -100.0,
    "frozen": 2,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("encoding, shown", [("ascii", "? ?"), ("latin-1", "? ×"), ("cp1252", "? ×"), ("utf-8", "ε ×")])
def test_characters_that_cannot_be_shown(encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert emit("ε ×\n", stream) is None
    assert stream.buffer.getvalue().decode(encoding) == f"{shown}\n"


def test_streams_that_take_nothing():
    closed = io.StringIO()
    closed.close()
    assert emit("x", None) == emit("x", closed) == "it is closed"
    assert emit("x", Full()) == "No space left on device"
    assert not is_terminal(None) and not is_terminal(closed)


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(Terminal())


@pytest.mark.parametrize("mode", [True, "json"])
def test_lost_output_is_said_once_and_training_goes_on(mode, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full())
    assert not was_lost()
    progress = Progress(mode, 5000)
    progress.say("one")
    Progress(mode).say("two")
    progress.close()
    assert was_lost()
    assert capsys.readouterr().err == (
        "ltro: standard output accepts no more text (No space left on device); training continues\n"
    )


@pytest.mark.parametrize("width", [119, 79, 60, 40, 20, 1, 0])
def test_a_line_fits(width):
    line, whole = _line(RECORD, width), _line(RECORD)
    assert len(line) <= max(1, width) < len(whole) and whole.startswith(line[:17])
    if width >= 60:
        assert "return -123.46" in line and line.endswith("2:03:04 left")
