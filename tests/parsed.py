"""HTML as what a test asks of it: rows of tables, words, and the attributes of tags."""

from html.parser import HTMLParser
from typing import Any

VOID = {"br", "img"}


class Page(HTMLParser):
    """Rows of all tables, all text, and the attributes of each tag; every tag must be closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(shown: Any) -> Page:
    text = shown if isinstance(shown, str) else shown._repr_html_()
    assert "<script" not in text and "<style" not in text
    return Page(text)
