"""A page of text, tables and figures, once as HTML that needs no other file, once as Markdown.

Everything that is put into a page is plain text: it is escaped here and nowhere else.
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
    """A paragraph that must not be overlooked."""

    words: str


class Code(NamedTuple):
    """Text to be copied as it is."""

    text: str


class Table(NamedTuple):
    """Cells in words; every row has a cell for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


class Picture(NamedTuple):
    """A figure as SVG."""

    name: str  # of its file, without suffix
    svg: bytes
    alt: str  # what it shows, for those who do not see it
    caption: str


class Folded(NamedTuple):
    """What is only seen when it is opened."""

    summary: str
    blocks: Sequence["Block"]


Block = Text | Note | Code | Table | Picture | Folded


class Section(NamedTuple):
    """A heading and what stands below it."""

    id: str
    title: str
    blocks: Sequence[Block]


class Page(NamedTuple):
    """A title, one line that says it all, and sections."""

    title: str
    summary: str
    sections: Sequence[Section]


def pictures(page: Page) -> list[Picture]:
    """All figures, folded ones too, in their order."""

    def within(blocks: Sequence[Block]) -> list[Picture]:
        found = []
        for block in blocks:
            found += [block] if isinstance(block, Picture) else []
            found += within(block.blocks) if isinstance(block, Folded) else []
        return found

    return [picture for section in page.sections for picture in within(section.blocks)]


def html_page(page: Page) -> str:
    """The page as one HTML file: style and figures are inside, it loads nothing and runs nothing."""
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


def markdown_page(page: Page, figures: str) -> str:
    """The page as Markdown; the figures are looked for in the directory `figures`, as `<name>.svg`."""
    parts = [f"# {_plain(page.title)}", _plain(page.summary)]
    for section in page.sections:
        parts += [f"## {_plain(section.title)}", _markdown(section.blocks, figures)]
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
    words = _escaped(text).replace("/", "/<wbr>")  # a long path may be broken
    if re.match(r"[-+]?\d", text) or text in ("–", "inf"):
        return f'<td class="number">{words.replace(" [", " <wbr>[")}</td>'  # only before an interval
    return f"<td>{words}</td>"


def _escaped(text: str) -> str:
    return html.escape(text)


@cache
def _style() -> str:
    return files("ltro_jax.reports").joinpath("page.css").read_text(encoding="utf-8")


def _markdown(blocks: Sequence[Block], figures: str) -> str:
    return "\n\n".join(_markdown_block(block, figures) for block in blocks)


def _markdown_block(block: Block, figures: str) -> str:
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
            return f"![{_plain(alt)}]({figures}/{name}.svg)\n\n*{_plain(caption)}*"
        case Folded(summary, inner):
            return f"<details>\n<summary>{_escaped(summary)}</summary>\n\n{_markdown(inner, figures)}\n\n</details>"


def _plain(text: str) -> str:
    """Text whose signs Markdown would take for its own."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", text)
