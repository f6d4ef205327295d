"""Tasks as test parameters: skipped where an extra is missing, and all but some of each family slow."""

from typing import Any

import pytest

from ltro_jax.config import Config, Static
from ltro_jax.envs import list_tasks, missing_extra

LIGHT = ("mpe/", "probe/", "smax/3m", "swimmer/10x2", "mabrax/ant_4x2", "mamujoco/walker2d_3x2")  # in the default run


def task_param(task: str, value: Any = None, slow: bool | None = None) -> Any:
    """`value` (None = the task) with the marks of the task; `slow` None = unless it is a light one."""
    extra = missing_extra(task)
    marks = [pytest.mark.skip(reason=f"needs the extra {extra}")] if extra else []
    if slow if slow is not None else not task.startswith(LIGHT):
        marks.append(pytest.mark.slow)
    return pytest.param(task if value is None else value, marks=marks)


def static_of(task: str, **settings: Any) -> Static:
    """The static settings of a task, its options included."""
    return Config.from_dict(settings | {"task": task}).static


def task_params() -> list[Any]:
    """Every task."""
    return [task_param(task) for task in list_tasks()]
