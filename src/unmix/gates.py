"""Gates of the book: what neither papermill nor Sphinx notices."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unmix.errors import BookError


def check_notebook(path: Path, name: str = "") -> None:
    """Refuse an executed notebook with an error, an unexecuted cell, or a picture without words.

    papermill calls every cell of a dead kernel completed, and Jupyter Book publishes tracebacks
    without a warning.

    Raises:
        BookError: with the number of the cell and what is wrong with it.
    """
    name = name or str(path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    problems = []
    for number, cell in enumerate(cells, start=1):
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        if cell.get("execution_count") is None:
            problems.append(f"cell {number} was not executed")
        outputs = cell.get("outputs", [])
        for item in outputs:
            if item.get("output_type") == "error":
                problems.append(f"cell {number}: {item.get('ename')}: {item.get('evalue')}")
        pictures = any(
            kind.startswith("image/") for item in outputs for kind in item.get("data", {})
        )
        words = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        if pictures and not words.strip():
            problems.append(f"cell {number}: a picture without mystnb.image.alt in its metadata")
    if problems:
        raise BookError(f"{name}: " + "; ".join(problems), do="mend the notebook")


class _Page(HTMLParser):
    """Collects what a page points at, and what can be pointed at in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[tuple[str, str]] = []
        self.wordless: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links, sources, anchors, and pictures without alternative text."""
        found = dict(attrs)
        if found.get("id"):
            self.ids.add(str(found["id"]))
        if tag == "a" and found.get("name"):
            self.ids.add(str(found["name"]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in {"img", "audio", "source", "script", "video"} and found.get("src"):
            self.sources.append((tag, str(found["src"])))
        if tag == "img" and not (found.get("alt") or "").strip():
            self.wordless.append(str(found.get("src")))


def check_pages(built: Path) -> None:
    """Refuse a built book with dead links, missing sound or picture files, or wordless pictures.

    Only what lies in the book is checked; addresses elsewhere are not asked for.

    Raises:
        BookError: with every problem found.
    """
    pages: dict[Path, _Page] = {}
    root = built.resolve()
    for path in sorted(built.rglob("*.html")):
        if "_static" in path.relative_to(built).parts:
            continue
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        pages[path.resolve()] = page
    if not pages:
        raise BookError(f"{built}: holds no pages", do="build the book anew")
    problems = []
    for path, page in pages.items():
        name = path.relative_to(root)
        problems += [f"{name}: picture {src} has no alternative text" for src in page.wordless]
        for tag, src in page.sources:
            file = _local(path, src)
            if file is not None and not (
                file.is_relative_to(root) and file.is_file() and file.stat().st_size
            ):
                problems.append(f"{name}: {tag} file {src} is missing or empty")
        for link in page.links:
            problems += [f"{name}: {why}" for why in _dead(path, link, pages, root)]
    if problems:
        raise BookError(
            f"the built book has {len(problems)} problem(s):\n" + "\n".join(problems[:30]),
            do="mend the pages that are named",
        )


def _local(page: Path, address: str) -> Path | None:
    """Return the file that an address in a page means, None for addresses elsewhere."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not parts.path:
        return None
    return (page.parent / unquote(parts.path)).resolve()


def _dead(page: Path, link: str, pages: dict[Path, _Page], root: Path) -> list[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return []
    target = _local(page, link) or page
    if target.is_dir():
        target = target / "index.html"
    # What lies outside the book on this machine is not there for a reader.
    if not (target.is_relative_to(root) and target.is_file()):
        return [f"dead link {link}"]
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids and anchor != "top":
        return [f"dead link {link} (no such place on that page)"]
    return []
