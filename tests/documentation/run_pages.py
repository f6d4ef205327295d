"""Run the Python of Markdown pages in this process and directory: `python run_pages.py PAGE…`.

Each page has a namespace of its own; a block whose fence says more than `python` is a quotation. Tracebacks point into
the page.
"""

import re
import sys
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def main() -> None:
    for page in map(Path, sys.argv[1:]):
        text = page.read_text(encoding="utf-8")
        names: dict[str, Any] = {"__name__": "__main__"}
        for number, block in enumerate(BLOCK.finditer(text)):
            if number == 0:
                print("==", page.name, flush=True)
            line = text.count("\n", 0, block.start(1))
            exec(compile("\n" * line + block[1], page, "exec"), names)


if __name__ == "__main__":
    main()
