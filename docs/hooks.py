"""Lets pages link to files of the repository (`../experiments/README.md`), as they do where the repository is browsed.

On the site a linked Markdown file becomes a page, a picture or a notebook is copied, and any other file becomes a page
that shows its text.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
COPIED = (".png", ".gif", ".svg", ".ipynb", ".csv", ".npz", ".nc", ".gz", ".pdf")
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".json": "json", "": "text"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to, and what those link to in turn."""
    waiting = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    seen = set(waiting)
    while waiting:
        origin = waiting.pop()
        for target in links(origin):
            if target in seen:
                continue
            seen.add(target)
            files.append(site_file(target, config))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links to their places on the site."""
    origin, here = repository_path(page.file.src_uri), posixpath.dirname(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        target = resolved(origin, match[1])
        return match[1] if target is None else posixpath.relpath(site_path(target), here or ".")

    return LINK.sub(rewritten, markdown)


def links(origin: str) -> Iterator[str]:
    """Files of the repository outside `docs/` that a Markdown file links to."""
    for match in LINK.finditer((ROOT / origin).read_text(encoding="utf-8")):
        target = resolved(origin, match[1])
        if target and not target.startswith("docs/"):
            yield target


def resolved(origin: str, link: str) -> str | None:
    """The file of the repository that a link in `origin` leads to; None if it is none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    return target if (ROOT / target).is_file() and not target.startswith("..") else None


def site_path(target: str) -> str:
    """Where a file of the repository is on the site."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return target if target.endswith((".md", *COPIED)) else f"source/{target}.md"


def repository_path(site: str) -> str:
    """The inverse of `site_path`."""
    if site.startswith("source/"):
        return site.removeprefix("source/").removesuffix(".md")
    return f"docs/{site}" if (ROOT / "docs" / site).exists() else site


def site_file(target: str, config: MkDocsConfig) -> File:
    """The page or the copy of a file of the repository."""
    if target.endswith((".md", *COPIED)):
        return File.generated(config, site_path(target), abs_src_path=os.fspath(ROOT / target))
    language = LANGUAGES.get(Path(target).suffix, "text")
    text = (ROOT / target).read_text(encoding="utf-8")
    content = f'# {target}\n\n````{language} linenums="1"\n{text}````\n'
    return File.generated(config, site_path(target), content=content)
