"""Run the notebooks again and write their outputs back: `python notebooks/execute.py [NOTEBOOK …]`.

Each gets a fresh kernel of this interpreter and an empty directory to work in; none needs to be registered or online.
"""

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))


def execute(path: Path, directory: str | Path) -> NotebookNode:
    """The notebook at `path` with fresh outputs, run in `directory`; the file itself is left alone.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    own_kernel = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))  # `sys.executable`'s
    NotebookClient(
        notebook,
        km=own_kernel,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
        extra_arguments=["--log-level=ERROR"],  # else it warns of TCP, which stays on this machine
        coalesce_streams=True,
        record_timing=False,
        timeout=600,
    ).execute(cleanup_kc=True)  # stops the kernel, also after an error
    notebook.metadata["language_info"] = {"name": "python"}  # the version would change with every interpreter
    return notebook


def main() -> None:
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as directory:
            nbformat.write(execute(path, directory), path)
        print(f"{path.name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
