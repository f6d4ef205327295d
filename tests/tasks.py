"""Tasks as test parameters: those of a family with an extra are slow, and skipped where the extra is missing."""

from importlib.util import find_spec
from typing import Any

import pytest

from ltro_jax.envs import list_tasks

MODULES = {"mabrax": "brax"}  # what the extra of this name brings
EXTRAS = {"mabrax": "mabrax"}  # family → extra


def needs_extra(family: str) -> list[pytest.MarkDecorator]:
    """Marks of a test that makes a task of this family."""
    if family not in EXTRAS:
        return []
    extra = EXTRAS[family]
    return [pytest.mark.skipif(find_spec(MODULES[extra]) is None, reason=f"needs the extra {extra}")]


def task_param(task: str, *values: Any, slow: bool | None = None) -> Any:
    """`(task, *values)` with the marks of the task's family; `slow` None: slow if it needs an extra."""
    marks = needs_extra(task.partition("/")[0])
    if marks if slow is None else slow:
        marks = [*marks, pytest.mark.slow]
    return pytest.param(*(values or (task,)), marks=marks)


def task_params() -> list[Any]:
    """Every task."""
    return [task_param(task) for task in list_tasks()]
