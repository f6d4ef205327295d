"""Pieces of HTML for the output of a notebook cell.

They need no JavaScript and no style sheet. Colours are inherited from the page or of medium lightness, so that light
and dark themes both work. Every text is escaped here and nowhere else.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

ACCENT = "#1f8fd6"  # readable on white and on black
LINE = "rgba(128,128,128,0.35)"
CELL = f"text-align:left;padding:2px 14px 2px 0;border:none;border-bottom:1px solid {LINE};vertical-align:top"


class Html(str):
    """Text that is HTML already; every other text is escaped."""


def escaped(value: Any) -> Html:
    """`value` as HTML."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def card(title: str, *blocks: Html, badge: str = "") -> Html:
    """A frame with a heading, a word beside it (a state) and the non-empty blocks below it."""
    word = f' <span style="color:{ACCENT};border:1px solid;border-radius:9px;padding:0 8px;font-weight:normal">'
    heading = escaped(title) + (f"{word}{escaped(badge)}</span>" if badge else "")
    spaced = "".join(f'<div style="margin-top:6px">{block}</div>' for block in blocks if block)
    return Html(
        f'<div style="border:1px solid {LINE};border-radius:6px;padding:8px 12px;max-width:760px;font-size:13px">'
        f'<div style="font-weight:bold">{heading}</div>{spaced}</div>'
    )


def paragraph(text: Any) -> Html:
    """A line of text."""
    return Html(f"<div>{escaped(text)}</div>")


def facts(values: Mapping[str, Any]) -> Html:
    """A row for each name and value; values of None are left out."""
    rows = [(name, value) for name, value in values.items() if value is not None]
    body = "".join(
        f'<tr><th style="{CELL};font-weight:normal;opacity:0.7">{escaped(name)}</th>'
        f'<td style="{CELL}">{escaped(value)}</td></tr>'
        for name, value in rows
    )
    return Html(f'<table style="border-collapse:collapse;margin:0">{body}</table>')


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int | None = 30) -> Html:
    """A table with a header and at most `limit` rows; a line below it tells how many more there are."""
    head = "".join(f'<th style="{CELL};font-weight:bold">{escaped(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escaped(cell)}</td>' for cell in row) + "</tr>" for row in rows[:limit]
    )
    rest = paragraph(f"… and {len(rows) - limit} more") if limit is not None and len(rows) > limit else ""
    return Html(
        f'<table style="border-collapse:collapse;margin:0"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{rest}"
    )


def folded(summary: str, *blocks: Html) -> Html:
    """Blocks that are visible once the reader opens them."""
    return Html(f"<details><summary>{escaped(summary)}</summary>{''.join(blocks)}</details>")


def bar(fraction: float) -> Html:
    """A horizontal bar, filled from 0 to 1."""
    percent = 100 * min(1.0, max(0.0, fraction))
    return Html(
        f'<div role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent:.0f}" '
        f'style="background:{LINE};border-radius:4px;height:8px;max-width:460px">'
        f'<div style="background:{ACCENT};border-radius:4px;height:8px;width:{percent:.1f}%"></div></div>'
    )
