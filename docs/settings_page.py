"""Write `docs/settings.md` from the settings themselves: `python docs/settings_page.py`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltro_jax.config import SETTINGS

PAGE = Path(__file__).with_name("settings.md")

INTRODUCTION = """\
# Settings

<!-- written by docs/settings_page.py; a test compares the two -->

Every setting is an option of `ltro train` (`--name value`; the task is its first argument), a keyword of
`load_preset` and `Config.replace`, and a key of `settings.json` in the run's directory. A preset
(`ltro presets mpe/simple_spread` shows one) replaces the defaults below by the paper's values; what is given on the
command line replaces both. Unknown names, values that are not allowed and settings that the
[algorithm does not read](training.md#train) are refused in one sentence, before anything is compiled or written.
"""

GROUPS = {
    "static": """\
## Static: part of the compiled program

A change compiles anew. In a sweep each combination of them is a run of its own.
""",
    "hypers": """\
## Hyper-parameters: traced

Inputs of the compiled program: a change compiles nothing, and all points of a sweep's grid train in one program.
""",
    "run": """\
## Run: of the host

They steer the loop around the program. The program itself depends only on the number of members, on `members_at_once`,
and with `anneal_lr` on the length of the run.
""",
}

WORDS = {"above": "> {}", "at_least": "≥ {}", "at_most": "≤ {}"}


def text(value: Any) -> str:
    """A default as it is given on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(text, value)) or "none"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(metadata: Mapping[str, Any]) -> str:
    """What a setting may be, in a few signs."""
    if "choices" in metadata:
        return ", ".join(f"`{choice}`" for choice in metadata["choices"])
    return ", ".join(words.format(metadata[key]) for key, words in WORDS.items() if key in metadata)


def page() -> str:
    """The page."""
    parts = [INTRODUCTION]
    for group, heading in GROUPS.items():
        rows = [
            f"| `{name}` | `{text(spec.default)}` | {spec.metadata['help']} | {allowed(spec.metadata)} |"
            for name, spec in SETTINGS.items()
            if spec.group == group
        ]
        parts += [heading, "\n".join(["| setting | default | meaning | allowed |", "|---|---|---|---|", *rows, ""])]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
