"""The output of a notebook cell that is updated in place."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

Bundle = Mapping[str, str]  # MIME type → text


class Handle(Protocol):
    """An output on the page."""

    def update(self, bundle: Bundle) -> None: ...


Show = Callable[[Bundle], Handle]


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook: Jupyter, VS Code, Colab, nbclient."""
    module: Any = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None


class _CellOutput:
    """An output that IPython displays."""

    def __init__(self, bundle: Bundle):
        from IPython.display import display

        self._handle: Any = display(bundle, raw=True, display_id=True)

    def update(self, bundle: Bundle) -> None:
        self._handle.update(bundle, raw=True)


def show_in_cell(bundle: Bundle) -> Handle:
    """Display `bundle` below the running cell."""
    return _CellOutput(bundle)
