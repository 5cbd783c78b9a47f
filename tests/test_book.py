"""The build of the book, on a checkout of one page and one notebook."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from aids import heeding_ctrl_c
from unmix import book, gates
from unmix.errors import BookError, DatasetError
from unmix.papers.experiment import PROFILES, Setting, experiment

ROOT = Path(__file__).resolve().parents[1]
NAME = "notebooks/mini/one"
SPHINX = book._sphinx
PARAMETERS = {
    "profile": "tiny",
    "data_root": "",
    "store": "runs",
    "device": "cpu",
    "seeds": 0,
    "engine": "local",
}
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
KINDS = ("image/png", "text/html")
WORK = f"""
import os
from pathlib import Path
from IPython.display import HTML, Image, display
Path("media").mkdir(exist_ok=True)
Path("media/tone.mp3").write_bytes(b"sound")
print("profile", profile, "store", store, "cache", os.environ["UNMIX_CACHE"])
display(HTML('<audio controls preload="none" src="media/tone.mp3"></audio>'))
display(Image(data={DOT!r}))
"""
PARTS = {
    "parameters": "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items()),
    "work": WORK,
    "end": "1 + 1",
}


def cell(number, kind, source, **metadata):
    found = {"cell_type": kind, "id": f"c{number}", "metadata": metadata, "source": source}
    return found | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def write_notebook(root, **parts):
    """Write the notebook, with other sources for some of its cells."""
    parts = {**PARTS, **parts}
    alt = {"image": {"alt": "A dot in the middle."}}
    cells = [
        cell(1, "markdown", "# One\n\nBack to the [start](../../book/index.md)."),
        cell(2, "code", parts["parameters"], tags=["parameters"]),
        cell(3, "code", parts["work"], mystnb=alt),
        cell(4, "code", parts["end"]),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    path = root / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder with a checkout and its book, built once; and what the build printed."""
    home = tmp_path_factory.mktemp("book")
    root = home / "checkout"
    (root / "book" / "static").mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", root)
    (root / "_toc.yml").write_text(
        yaml.safe_dump({"format": "jb-book", "root": "book/index", "chapters": [{"file": NAME}]})
    )
    (root / "book" / "index.md").write_text(
        "# Start\n\nOn to [one](../notebooks/mini/one.ipynb).\n"
    )
    (root / "book" / "references.bib").touch()
    for path in (ROOT / "book" / "static").glob("*.[cj]s*"):  # those that the settings name
        shutil.copy(path, root / "book" / "static")
    write_notebook(root)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("UNMIX_DATA", "UNMIX_STORE", "UNMIX_RESULTS"):
            patch.delenv(name, raising=False)
        patch.setenv("UNMIX_CACHE", "cache")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(book, "checkout", lambda: root)
        patch.chdir(home)
        book.build(PARAMETERS, Path("out"))
        yield home


@pytest.fixture
def home(first, tmp_path, monkeypatch):
    """A copy of the checkout and its built book, whose pages and verdicts are not made anew."""

    def record(built, parameters):
        for path in (first / "out" / "html").glob("*.json"):
            shutil.copy(path, built)

    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(book, "_write_records", record)
    monkeypatch.setattr(book, "checkout", lambda: tmp_path / "checkout")
    monkeypatch.setattr(book, "_sphinx", lambda stage: None)
    return tmp_path


def build(home, **parameters):
    return book.build({**PARAMETERS, **parameters}, home / "out")


def executed(home):
    return home / "out" / "executed" / "tiny" / "mini" / "one.ipynb"


def outputs(path):
    """The text of all outputs of a notebook."""
    cells = json.loads(path.read_text())["cells"]
    return json.dumps([item for cell in cells for item in cell.get("outputs", [])])


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def nothing_half_there(home, before):
    """The book is the one of before, and no partial file is left."""
    assert snapshot(home / "out" / "html") == before
    assert list((home / "out" / "executed").rglob("*.part*")) == []
    if executed(home).exists():
        gates.check_notebook(executed(home))


def test_a_good_build_has_pages_sound_and_words(first):
    html = first / "out" / "html"
    assert (html / "book" / "index.html").is_file()
    page = (html / f"{NAME}.html").read_text()
    assert 'alt="A dot in the middle."' in page
    assert 'src="media/tone.mp3"' in page
    assert (html / "notebooks/mini/media/tone.mp3").read_bytes() == b"sound"
    assert json.loads((html / "verdicts.json").read_text())
    assert json.loads((html / "audit.json").read_text())
    assert "book.css" in page
    source = json.loads((first / "checkout" / f"{NAME}.ipynb").read_text())
    assert all(not cell.get("outputs") for cell in source["cells"]), "the source stays as it was"


def test_the_cell_that_repeats_the_parameters_is_on_no_page(first):
    page = (first / "out" / "html" / f"{NAME}.html").read_text()
    assert "# Parameters" in executed(first).read_text(), "papermill's own comment"
    assert "Parameters</span>" not in page
    assert page.count("profile</span>") == 2, "where they are explained, and where they are used"


def test_what_is_shown_below_a_picture_is_no_figure_of_its_own():
    """MyST-NB would repeat the caption below it."""
    picture, words = ({"output_type": "display_data", "data": {kind: "x"}} for kind in KINDS)
    shows = cell(1, "code", "draw()", mystnb={"figure": {"caption": "A dot."}})
    plain = cell(2, "code", "draw()")
    for each in (shows, plain):
        each["outputs"] = [picture, words]
    built = json.loads(book._presentable(json.dumps({"cells": [shows, plain]})))["cells"]
    assert [each["outputs"] for each in built] == [[picture], [words], [picture, words]]
    assert built[1]["metadata"] == {"tags": ["remove-input"]}
    assert built[1]["source"], "cells without source are on no page"
    assert len({each["id"] for each in built}) == 3


def test_relative_folders_mean_those_of_the_caller(first):
    said = outputs(executed(first))
    assert f"profile tiny store {first / 'runs'} cache {first / 'cache'}" in said


def test_a_build_with_nothing_changed_executes_nothing(home, capsys):
    kept = executed(home).stat().st_mtime_ns
    index = build(home)
    assert index == home / "out" / "html" / "index.html"
    printed = capsys.readouterr().out
    assert f"{NAME} (unchanged)" in printed
    assert "executing" not in printed
    assert executed(home).stat().st_mtime_ns == kept


def test_an_edited_notebook_is_executed_again(home, capsys):
    write_notebook(home / "checkout", end="print('edited', 6 * 7)")
    build(home)
    assert f"executing {NAME} ..." in capsys.readouterr().out
    assert "edited 42" in outputs(executed(home))
    build(home)
    assert "executing" not in capsys.readouterr().out


FOLDERS = ["notebooks/verdicts/all", "notebooks/a/1", "notebooks/b/1", "notebooks/a/2"]


def test_folders_are_executed_side_by_side_and_verdicts_last():
    both, seen = threading.Barrier(2, timeout=30), []

    def execute(name):
        if name.endswith("/1"):
            both.wait()  # passes only if the first of both folders run at the same time
        seen.append(name)
        return name != "notebooks/a/2"

    times = book._execute_all(FOLDERS, execute, 2)
    assert list(times) == [*FOLDERS[:3], "notebooks/a/2 (unchanged)"], "told in the book's order"
    assert seen[-1] == FOLDERS[0]
    assert seen.index("notebooks/a/1") < seen.index("notebooks/a/2")


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_failed_notebook_no_other_begins(workers):
    both, seen = threading.Barrier(workers, timeout=30), []

    def execute(name):
        seen.append(name)
        both.wait()
        if name == "notebooks/a/1":
            raise BookError("failed")
        time.sleep(0.5)

    with pytest.raises(BookError, match="failed"):
        book._execute_all([*FOLDERS, "notebooks/b/2"], execute, workers)
    assert set(seen) <= {"notebooks/a/1", "notebooks/b/1"}


def test_a_failing_notebook_is_named_with_its_error_and_the_old_book_stays(home, capsys):
    before = snapshot(home / "out" / "html")
    end = (
        "from unmix.errors import DatasetError\n"
        "raise DatasetError('no such clip', expected='another', do='look for it')"
    )
    write_notebook(home / "checkout", end=end)
    with pytest.raises(BookError) as caught:
        build(home)
    assert f"{NAME}.ipynb: failed with\nDatasetError: no such clip. Expected: another." in str(
        caught.value
    )
    assert "Traceback" not in str(caught.value)
    assert str(caught.value).count("What to do: ") == 1, "the notebook's error says it already"
    nothing_half_there(home, before)
    write_notebook(home / "checkout")
    capsys.readouterr()
    build(home)
    assert f"executing {NAME} ..." in capsys.readouterr().out, "its state was not known any more"


def test_a_notebook_whose_kernel_dies_is_refused(home):
    before = snapshot(home / "out" / "html")
    write_notebook(home / "checkout", end="import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(BookError, match=r"one\.ipynb: failed with\n(.|\n)*died"):
        build(home)
    nothing_half_there(home, before)
    assert not executed(home).with_suffix(".state").exists()


def test_a_notebook_that_takes_too_long_is_refused(home, monkeypatch):
    before = snapshot(home / "out" / "html")
    monkeypatch.setitem(book.LIMITS, "tiny", 3)
    write_notebook(home / "checkout", end="import time\ntime.sleep(600)")
    started = time.monotonic()
    with pytest.raises(BookError, match=r"one\.ipynb: took longer than 3 s"):
        build(home)
    assert time.monotonic() - started < 300
    nothing_half_there(home, before)


def test_a_picture_without_words_stops_the_build_before_the_pages(home):
    before = snapshot(home / "out" / "html")
    write_notebook(home / "checkout", end=f"from IPython.display import Image\nImage({DOT!r})")
    with pytest.raises(BookError, match=r"one\.ipynb: cell 5: a picture without"):
        build(home)
    nothing_half_there(home, before)


def test_an_unknown_parameter_is_refused_before_anything_runs(home):
    with pytest.raises(BookError, match=r"one\.ipynb: has no parameter\(s\) colour"):
        build(home, colour="blue")


def test_a_dataset_that_is_missing_is_told_before_anything_runs(home, monkeypatch, capsys):
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    write_notebook(home / "checkout", end="1 + 2")
    with pytest.raises(DatasetError, match="no folder with datasets is set") as caught:
        build(home, profile="full")
    assert str(caught.value).count("What to do: ") == 1
    with pytest.raises(DatasetError, match="MedleyDB was not found"):
        build(home, profile="full", data_root=str(home))
    assert capsys.readouterr().out == ""


def test_a_data_root_without_the_dataset_is_told_in_one_line(home, capsys):
    build(home, data_root=str(home))
    assert capsys.readouterr().out.startswith("note: this profile's runs are on the embedded")


def test_a_place_that_cannot_be_written_is_told(home):
    (home / "file").touch()
    with pytest.raises(BookError, match=r"file.*--out"):
        book.build(PARAMETERS, home / "file")


def test_a_missing_sound_file_fails_the_build_and_the_old_book_stays(home):
    (home / "out" / "stage" / "_build" / "html" / "new.html").write_text(
        '<audio src="media/gone.mp3"></audio>'
    )
    before = snapshot(home / "out" / "html")
    with pytest.raises(BookError, match=r"new\.html: audio file media/gone\.mp3 is missing"):
        build(home)
    nothing_half_there(home, before)


@pytest.mark.parametrize("stopped", ["copytree", "replace"])
def test_ctrl_c_while_the_pages_are_put_in_place(home, monkeypatch, stopped):
    before = snapshot(home / "out" / "html")
    module, real = (shutil, shutil.copytree) if stopped == "copytree" else (os, os.replace)

    def stop(source, target, *more, **options):
        if Path(target).name.startswith(".html"):
            if stopped == "copytree":
                (Path(target) / "notebooks").mkdir(parents=True)
            raise KeyboardInterrupt
        return real(source, target, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, stopped, stop)
        with pytest.raises(KeyboardInterrupt):
            build(home)
    nothing_half_there(home, before)
    build(home)
    assert snapshot(home / "out" / "html").keys() == before.keys()
    assert list((home / "out").glob(".html*")) == []


def test_ctrl_c_in_a_notebook_leaves_nothing_half_written(home):
    before = snapshot(home / "out" / "html")
    wait, started = home / "wait", home / "started"
    wait.touch()
    write_notebook(
        home / "checkout",
        end=f"import time\nfrom pathlib import Path\nPath({str(started)!r}).touch()\n"
        f"while Path({str(wait)!r}).exists():\n    time.sleep(0.1)",
    )
    start = (
        "from pathlib import Path\nfrom unmix import book\nfrom unmix.cli import main\n"
        f"book.checkout = lambda: Path({str(home / 'checkout')!r})\nmain()"
    )
    command = [sys.executable, "-c", start, "book", "--profile", "tiny", "--store", "runs"]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--out", str(home / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_ctrl_c,
    )
    while process.poll() is None and not started.exists():
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == f"executing {NAME} ...\n"
    assert err == "interrupted; the same command goes on where this one stopped\n"
    nothing_half_there(home, before)
    wait.unlink()
    build(home)
    gates.check_notebook(executed(home))


def test_a_warning_of_the_pages_fails_the_build_and_the_old_book_stays(home, monkeypatch):
    before = snapshot(home / "out" / "html")
    monkeypatch.setattr(book, "_sphinx", SPHINX)
    (home / "checkout" / "book" / "index.md").write_text("# Start\n\n[x](#nowhere) {ref}`gone`\n")
    with pytest.raises(BookError, match=r"(?s)without warnings.*index\.md.*gone"):
        build(home)
    nothing_half_there(home, before)


# What an executed notebook rests on.


def changed(root, kind, monkeypatch):
    if kind == "evidence":
        (root / "results" / "parwal" / "ab").mkdir(parents=True)
        (root / "results" / "parwal" / "ab" / "scores.csv").write_text("clip,nsdr\n")
    elif kind == "environment":
        monkeypatch.setenv("UNMIX_STORE", "elsewhere")
    elif kind == "dataset":
        (root / "data" / "MIR-1K" / "Wavfile").mkdir(parents=True)
    elif kind in {"full", "stand-in"}:
        rows = experiment("parwal", "table2", Setting(PROFILES["full"], True)).rows
        (root / "runs" / "ab").mkdir(parents=True)
        made = {"fidelity": kind, "family": rows[0].spec.family()}
        (root / "runs" / "ab" / "provenance.json").write_text(json.dumps(made))
    else:
        write_notebook(root, end="2 + 2")


@pytest.mark.parametrize(
    "kind", ["notebook", "evidence", "environment", "dataset", "full", "stand-in"]
)
def test_what_changes_the_state_of_a_notebook(tmp_path, monkeypatch, kind):
    monkeypatch.delenv("UNMIX_RESULTS", raising=False)
    write_notebook(tmp_path)
    folders = {"data_root": str(tmp_path / "data"), "store": str(tmp_path / "runs")}
    parameters = {**PARAMETERS, **folders, "profile": "quick"}
    before = book._state(tmp_path, NAME, parameters)
    assert book._state(tmp_path, NAME, parameters) == before
    changed(tmp_path, kind, monkeypatch)
    same = kind == "stand-in"  # what the notebook itself puts there
    assert (book._state(tmp_path, NAME, parameters) == before) is same
    assert book._state(tmp_path, NAME, {**parameters, "seeds": 2}) != before
