"""The error of a run on disk that users see, and errors of the disk turned into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RunError(Exception):
    """A run on disk cannot be used as requested. One sentence names the path and the remedy."""

    exit_code = 2  # of the command


class RunWarning(UserWarning):
    """Part of a run on disk is not as asked; the sentence for the user says what is used instead."""


@contextmanager
def disk_errors(problem: str, remedy: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn an `OSError` in the body, or an error of the types `also`, into a `RunError`.

    Args:
        problem: the failure, with the path: "cannot write runs/x/settings.json".
        remedy: what the user can do about it.
        also: further types raised for a problem of the disk or for damaged content.
    """
    try:
        yield
    except (OSError, *also) as error:
        raise RunError(f"{problem}: {one_line(error)}; {remedy}") from error


def one_line(error: Exception) -> str:
    """The message of an error in one short line; for an error of the operating system, its description."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
