"""Files that are written whole or not at all."""

import errno
import os
import threading
from pathlib import Path

import pytest

from unmix import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_text_takes_the_place_of_another(tmp_path):
    for text in ("first\n", "zweite Zeile: ä…\n", ""):
        files.put(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_text(encoding="utf-8") == text
        assert names(tmp_path) == ["a.txt"]


def test_others_may_read_it_as_any_file(tmp_path):
    files.put(tmp_path / "put.txt", "a")
    (tmp_path / "plain.txt").write_text("a")
    modes = [(tmp_path / name).stat().st_mode for name in ("put.txt", "plain.txt")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ("place", "name"), [(Path, "write_text"), (os, "replace")], ids=["writing", "renaming"]
)
def test_what_was_there_stays_when_it_fails(tmp_path, monkeypatch, place, name):
    files.put(tmp_path / "a.txt", "first")
    work = getattr(place, name)

    def full(path, *words, **more):
        if name == "write_text":
            work(path, words[0][:3], **more)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(place, name, full)
    with pytest.raises(OSError, match="No space left"):
        files.put(tmp_path / "a.txt", "second")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.put(tmp_path / "none" / "a.txt", "a")
    assert names(tmp_path) == []


def test_readers_never_see_half_a_text(tmp_path):
    path, texts, seen = tmp_path / "a.txt", ("a" * 200_000, "b" * 200_000), set()
    files.put(path, texts[0])
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        files.put(path, texts[number % 2])
    done.set()
    reader.join()
    assert seen <= set(texts)
