"""Check the links within a built site: pages, anchors, pictures, scripts and styles.

    python tools/check_links.py docs/_build/html

prints what is broken and fails if anything is. Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if value is None:
                continue
            if name in ("href", "src"):
                self.links.append(value)
            elif name == "srcset":
                self.links += [candidate.split()[0] for candidate in value.split(",")]
            elif name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)


@cache
def _page(path: Path) -> _Page:
    return _Page(path)


def broken_links(site: Path) -> list[str]:
    """Return what is broken, a line a link."""
    site = site.resolve()
    broken = []
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    for path in sorted(pages):  # what is in _static are the theme's templates
        for link in sorted(set(_page(path).links)):
            reason = _reason(site, path, link)
            if reason:
                broken.append(f"{path.relative_to(site)}: {link} ({reason})")
    return broken


def _reason(site, path, link):
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = path
    if parts.path:
        target = (path.parent / unquote(parts.path)).resolve()
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            return "no such file"
        if not target.is_relative_to(site):
            return "outside of the site"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in _page(target).anchors:
        return "no such anchor"
    return None


if __name__ == "__main__":
    found = broken_links(Path(sys.argv[1]))
    print(*found, sep="\n")
    sys.exit(bool(found))
