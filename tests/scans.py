"""Published numbers held against the text of the papers, which need not lie beside the checkout.

A table stands in a stretch of its paper's text, see `paper.yaml`. Its numbers must follow each
other there as they do in the CSV, and the numbers left over must be those that `paper.yaml` names.
A number of the running text stands beside the words that `text.csv` gives with it.
"""

import functools
import os
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("UNMIX_PAPERS") or ROOT.parent / "shared" / "papers")

TOKEN = re.compile(r"(?<![\w.])[-−–]?\d+(?:[.,]\d+)*")
FORMULA = re.compile(r"\$[^$]*\$")
MINUS = "-−–"
BEFORE_A_MINUS = " \t\n|>($"
REACH = 60
"""At most so many characters lie between a number of the running text and the words beside it; a
snippet that ends a stretch has at most so many, too."""
WORDS = 6
"""At most so many words stand beside a number; a formula is one."""


def plain(number):
    """A number as a plain decimal: ASCII minus, no comma between the thousands."""
    return re.sub(r",(?=\d{3}(?!\d))", "", re.sub(f"[{MINUS}]", "-", number))


def tokens(text, start=0, end=None):
    """The numbers that begin in a part of a text, as plain decimals."""
    for match in TOKEN.finditer(text, start):
        first, token = match.start(), match.group()
        if end is not None and first >= end:
            return
        if token[0] in MINUS and first and text[first - 1] not in BEFORE_A_MINUS:
            token = token[1:]
        yield plain(token)


def is_number(raw):
    return bool(TOKEN.fullmatch(raw))


def printed(cell):
    """The token for which to look: of the scan where it is damaged, else the number."""
    return plain(cell.raw) if is_number(cell.raw) else cell.raw or cell.text


def ends(text, about):
    """Where a table's stretch begins and ends in a text, and what is wrong with that."""
    problems = []
    for snippet in (about.start, about.end):
        if text.count(snippet) != 1:
            problems.append(f"'{snippet}' stands {text.count(snippet)} times in the paper")
        if not 0 < len(snippet) <= REACH:
            problems.append(f"'{snippet}' has {len(snippet)} characters, not 1 to {REACH}")
    if problems:
        return 0, 0, problems
    start, end = text.index(about.start) + len(about.start), text.index(about.end)
    return start, end, [] if start < end else [f"'{about.end}' does not follow '{about.start}'"]


def table_problems(cells, text, about):
    """What in a paper's text speaks against the cells of a table; empty where all is well."""
    start, end, problems = ends(text, about)
    if problems:
        return problems
    there = list(tokens(text, start, end))
    left, rest = Counter(there), iter(there)
    left.subtract(map(plain, about.others))
    for cell in cells:
        if cell.raw and not is_number(cell.raw):
            if cell.raw not in text[start:end]:
                problems.append(f"{cell.label}: '{cell.raw}' is not in the text")
            continue
        left[printed(cell)] -= 1
        # A token that is not found uses up the rest, and those behind it are not found either.
        if printed(cell) not in rest:
            problems.append(f"{cell.label}: {printed(cell)} is not in the text at its place")
    problems += [f"{token}: {count} too many in the text" for token, count in left.items() if count]
    return problems


@functools.cache
def flat(text):
    """A text with each run of blanks as one blank."""
    return " ".join(text.split())


def text_problems(cell, text, others=()):
    """What in a paper's text speaks against a number of it; empty where all is well.

    It must be the number nearest to its words, apart from those of other cells at the same words.

    Args:
        cell: with the words that stand before it, or behind it if they begin with `<`.
        text: the paper's.
        others: all cells of the running text.
    """
    words = cell.near.removeprefix("<").split()
    if not 1 <= len(FORMULA.sub("$", " ".join(words)).split()) <= WORDS:
        return [f"{cell.label}: '{cell.near}' has not 1 to {WORDS} words"]
    skipped = {
        token
        for other in others
        if other.near == cell.near and other.label != cell.label
        for token in tokens(other.raw or other.text)
    }
    for match in re.finditer(re.escape(" ".join(words)), flat(text)):
        if _stands(cell, flat(text), match, skipped):
            return []
    return [f"{cell.label}: {printed(cell)} is not beside '{' '.join(words)}'"]


def _stands(cell, text, match, skipped):
    """Whether a number stands beside some words; a raw token that is none need only be there."""
    behind = cell.near.startswith("<")
    raw = cell.raw if cell.raw and not is_number(cell.raw) else ""
    start, end = match.end(), match.end() + REACH
    if behind:
        start, end = max(0, match.start() - REACH - len(cell.raw or cell.text)), match.start()
    if raw:
        whole = rf"(?<!\w){re.escape(raw)}(?!\w)"
        return re.search(whole, text[start : end + len(raw)]) is not None
    there = list(tokens(text, start, end))
    for token in reversed(there) if behind else there:
        if token == printed(cell):
            return True
        if token not in skipped:
            return False
    return False
