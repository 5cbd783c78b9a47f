"""Each gate catches the defect it is for, and lets a clean notebook and a clean book pass."""

import json

import pytest

from unmix.errors import BookError
from unmix.gates import check_notebook, check_pages

PICTURE = {"output_type": "display_data", "data": {"image/png": "iVBOR", "text/plain": "x"}}
VECTOR = {"output_type": "execute_result", "data": {"image/svg+xml": "<svg/>"}}
STREAM = {"output_type": "stream", "name": "stdout", "text": "ok"}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no such row", "traceback": []}
WORDS = {"mystnb": {"image": {"alt": "Box plots of three rows."}}}


def code(outputs=(), count=1, metadata=None, source="plot()"):
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
        "metadata": metadata or {},
    }


PROSE = {"cell_type": "markdown", "source": "# Title", "metadata": {}}
CLEAN = [PROSE, code([STREAM]), code([PICTURE], 2, WORDS), code([], None, source=["\n", "  "])]


def notebook(folder, *cells):
    path = folder / "table2.ipynb"
    path.write_text(json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4}))
    return path


def test_a_clean_notebook_passes(tmp_path):
    check_notebook(notebook(tmp_path, *CLEAN, code([VECTOR], 3, WORDS)))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (code([STREAM, ERROR]), "cell 5: ValueError: no such row"),
        (code([], None), "cell 5 was not executed"),
        (code([STREAM], None, source=["a = 1\n", "a"]), "cell 5 was not executed"),
        (code([PICTURE]), "cell 5: a picture without mystnb.image.alt"),
        (code([PICTURE], metadata={"mystnb": {"image": {"alt": " "}}}), "cell 5: a picture"),
        (code([STREAM, VECTOR]), "cell 5: a picture without"),
    ],
    ids=["error", "unexecuted", "dead-kernel", "wordless", "blank-words", "wordless-svg"],
)
def test_a_notebook_with_a_defect_is_refused(tmp_path, cell, said):
    with pytest.raises(BookError, match=said):
        check_notebook(notebook(tmp_path, *CLEAN, cell, *CLEAN))


def test_all_defects_are_told_under_the_name_that_is_given(tmp_path):
    with pytest.raises(BookError, match=r"^notebooks/a\.ipynb: cell 1 was not.*; cell 2: a pict"):
        check_notebook(notebook(tmp_path, code([], None), code([PICTURE])), "notebooks/a.ipynb")


def page(*parts):
    return f"<!doctype html><html><head></head><body>{''.join(parts)}</body></html>"


@pytest.fixture
def built(tmp_path):
    """A book of two pages that has everything the gates look at, and nothing wrong."""
    root = tmp_path / "stage" / "html"
    (root / "notebooks" / "media").mkdir(parents=True)
    (root / "_static").mkdir()
    (root / "_static" / "page.html").write_text(page('<a href="gone.html">theme</a>'))
    (root / "notebooks" / "media" / "a b.mp3").write_bytes(b"sound")
    (root / "plot.png").write_bytes(b"picture")
    (root / "index.html").write_text(
        page(
            '<h1 id="top-of-it">Hello</h1><a name="old-way"></a>',
            '<a href="notebooks/one.html#voiced-%C3%BC">there</a> <a href="notebooks">folder</a>',
            '<a href="#top-of-it">up</a> <a href="#old-way">x</a> <a href="#">x</a>',
            '<a href="#top">x</a> <a href="https://example.org/gone.html#x">elsewhere</a>',
            '<a href="mailto:a@example.org">mail</a> <a href="//example.org/x">elsewhere</a>',
            '<img src="plot.png" alt="A plot."><img src="data:image/png;base64,AA" alt="Dot.">',
            '<img src="https://example.org/gone.png" alt="Elsewhere.">',
        )
    )
    (root / "notebooks" / "index.html").write_text(page("<p>list</p>"))
    (root / "notebooks" / "one.html").write_text(
        page('<h2 id="voiced-ü">x</h2><audio controls src="media/a%20b.mp3"></audio>')
    )
    return root


def add(built, markup):
    path = built / "notebooks" / "one.html"
    path.write_text(path.read_text().replace("</body>", f"{markup}</body>"))


def test_a_clean_book_passes(built):
    check_pages(built)


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        ('<a href="two.html">x</a>', "one.html: dead link two.html"),
        ('<a href="../media">x</a>', "one.html: dead link ../media"),
        ('<a href="../_static/gone.css">x</a>', "dead link ../_static/gone.css"),
        ('<a href="#nowhere">x</a>', "dead link #nowhere .no such place"),
        ('<a href="../index.html#nowhere">x</a>', "dead link ../index.html#nowhere .no such"),
        ('<a href="../../secret.html">x</a>', "dead link ../../secret.html"),
        ('<audio src="media/gone.mp3"></audio>', "audio file media/gone.mp3 is missing or empty"),
        ('<audio src="media/empty.mp3"></audio>', "audio file media/empty.mp3 is missing or"),
        ('<audio><source src="media/gone.ogg"></audio>', "source file media/gone.ogg is missing"),
        ('<audio src="../../secret.mp3"></audio>', "audio file ../../secret.mp3 is missing"),
        ('<script src="gone.js"></script>', "script file gone.js is missing"),
        ('<img src="gone.png" alt="A plot.">', "img file gone.png is missing or empty"),
        ('<img src="../plot.png">', "picture ../plot.png has no alternative text"),
        ('<img src="../plot.png" alt=" ">', "picture ../plot.png has no alternative text"),
    ],
)
def test_a_page_with_a_defect_is_refused(built, markup, said):
    (built / "notebooks" / "media" / "empty.mp3").touch()
    for name in ("secret.html", "secret.mp3"):
        (built.parent / name).write_text("on this machine, and not in the book")
    add(built, markup)
    with pytest.raises(BookError, match=said) as caught:
        check_pages(built)
    assert "1 problem(s)" in str(caught.value)


def test_all_problems_are_told_at_once(built):
    add(built, '<a href="two.html">x</a><img src="gone.png">')
    with pytest.raises(BookError, match="3 problem") as caught:
        check_pages(built)
    for said in ("two.html", "no alternative text", "gone.png is missing"):
        assert said in str(caught.value)


def test_a_book_without_pages_is_refused(tmp_path):
    with pytest.raises(BookError, match="holds no pages"):
        check_pages(tmp_path)
