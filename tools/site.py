"""A hook of mkdocs: what lies outside docs/ is named on the site, not linked, since the site does not have it."""

from __future__ import annotations

import re

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#]+)(?:#[^)]*)?\)")


def _named(link: re.Match[str]) -> str:
    text, path = link[1], link[2]
    return f"`{path}`" if text.strip("`").endswith(path) else f"{text} (`{path}`)"


def on_page_markdown(markdown: str, *, page: object, config: object, files: object) -> str:
    """Called by mkdocs with each page's text. Links between pages stay."""
    if getattr(getattr(page, "file", None), "src_uri", "").startswith("reference/"):
        return markdown  # generated, one level down: its `../` are pages
    return _OUTSIDE.sub(_named, markdown)
