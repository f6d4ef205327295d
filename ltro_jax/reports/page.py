"""A page of text, tables and plots, as self-contained HTML and as Markdown.

The content of a page is plain text; only this module escapes it.
"""

import base64
import html
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd

from ltro_jax.analysis.tables import markdown_table


class Text(NamedTuple):
    """A paragraph."""

    words: str


class Note(NamedTuple):
    """A highlighted paragraph."""

    words: str


class Code(NamedTuple):
    """Text to copy unchanged."""

    text: str


class Table(NamedTuple):
    """Cells as text; every row has a cell for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


class Picture(NamedTuple):
    """A plot as SVG."""

    name: str  # of the file, without suffix
    svg: bytes
    alt: str  # description for readers who cannot see the plot
    caption: str


class Folded(NamedTuple):
    """Blocks that a reader must unfold."""

    summary: str
    blocks: Sequence["Block"]


Block = Text | Note | Code | Table | Picture | Folded


class Section(NamedTuple):
    """A heading and its blocks."""

    id: str
    title: str
    blocks: Sequence[Block]


class Page(NamedTuple):
    """A title, a summary in one line, and sections."""

    title: str
    summary: str
    sections: Sequence[Section]


def pictures(page: Page) -> list[Picture]:
    """All plots in order, including folded ones."""

    def within(blocks: Sequence[Block]) -> list[Picture]:
        unfolded = []
        for block in blocks:
            unfolded += [block] if isinstance(block, Picture) else []
            unfolded += within(block.blocks) if isinstance(block, Folded) else []
        return unfolded

    return [picture for section in page.sections for picture in within(section.blocks)]


def html_page(page: Page) -> str:
    """The page as one HTML file with its style and plots; it loads nothing and runs nothing."""
    links = " ".join(f'<a href="#{section.id}">{_escaped(section.title)}</a>' for section in page.sections)
    sections = "\n".join(
        f'<section id="{section.id}">\n<h2>{_escaped(section.title)}</h2>\n{_html(section.blocks)}\n</section>'
        for section in page.sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_escaped(page.title)}</title>
<style>
{_style()}</style>
</head>
<body>
<header>
<h1>{_escaped(page.title)}</h1>
<p class="summary">{_escaped(page.summary)}</p>
<nav aria-label="sections">{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def markdown_page(page: Page, directory: str) -> str:
    """The page as Markdown with links to the plots `<name>.svg` in `directory`."""
    parts = [f"# {_plain(page.title)}", _plain(page.summary)]
    for section in page.sections:
        parts += [f"## {_plain(section.title)}", _markdown(section.blocks, directory)]
    return "\n\n".join(parts) + "\n"


def _html(blocks: Sequence[Block]) -> str:
    return "\n".join(_html_block(block) for block in blocks)


def _html_block(block: Block) -> str:
    match block:
        case Text(words):
            return f"<p>{_escaped(words)}</p>"
        case Note(words):
            return f'<p class="note" role="note">{_escaped(words)}</p>'
        case Code(text):
            return f"<pre><code>{_escaped(text)}</code></pre>"
        case Table(columns, rows, caption):
            head = "".join(f'<th scope="col">{_escaped(column)}</th>' for column in columns)
            body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
            return (
                f'<div class="wide"><table>\n<caption>{_escaped(caption)}</caption>\n'
                f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
            )
        case Picture(name, svg, alt, caption):
            source = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
            return (
                f'<figure id="figure-{name}">\n<img src="{source}" alt="{_escaped(alt)}">\n'
                f"<figcaption>{_escaped(caption)}</figcaption>\n</figure>"
            )
        case Folded(summary, inner):
            return f"<details>\n<summary>{_escaped(summary)}</summary>\n{_html(inner)}\n</details>"


def _cell(text: str) -> str:
    words = _escaped(text).replace("/", "/<wbr>")  # a long path may wrap
    if re.match(r"[-+]?\d", text) or text in ("–", "inf"):
        return f'<td class="number">{words.replace(" [", " <wbr>[")}</td>'  # only before an interval
    return f"<td>{words}</td>"


def _escaped(text: str) -> str:
    return html.escape(text)


@cache
def _style() -> str:
    return files("ltro_jax.reports").joinpath("page.css").read_text(encoding="utf-8")


def _markdown(blocks: Sequence[Block], directory: str) -> str:
    return "\n\n".join(_markdown_block(block, directory) for block in blocks)


def _markdown_block(block: Block, directory: str) -> str:
    match block:
        case Text(words):
            return _plain(words)
        case Note(words):
            return f"> {_plain(words)}"
        case Code(text):
            return f"```\n{text}\n```"
        case Table(columns, rows, caption):
            table = pd.DataFrame(rows, columns=list(columns), dtype=object)
            return f"{_plain(caption)}\n\n{markdown_table(table, escape=_plain).rstrip()}"
        case Picture(name, _, alt, caption):
            return f"![{_plain(alt)}]({directory}/{name}.svg)\n\n*{_plain(caption)}*"
        case Folded(summary, inner):
            return f"<details>\n<summary>{_escaped(summary)}</summary>\n\n{_markdown(inner, directory)}\n\n</details>"


def _plain(text: str) -> str:
    """Text with the special characters of Markdown escaped."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", text)
