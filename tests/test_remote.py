"""Downloads that are cut, hosts that are gone, disks that are full."""

import contextlib
import errno
import hashlib
import os
import re
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aids import zipped
from unmix.datasets import remote
from unmix.errors import DatasetError

BY_HAND = "get it in a browser"
GONE = remote.Archive("http://127.0.0.1:9/gone.zip")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    monkeypatch.setattr(remote, "CHUNK", 100_000)


class Host:
    """A web host that serves one body, with ranges, and misbehaves as told.

    `cut` holds, for each of the next answers, after how many bytes it breaks off.
    """

    def __init__(self):
        host = self
        self.body, self.tag, self.kind = b"", '"one"', "application/zip"
        self.ranges, self.cut, self.seen, self.status = True, [], [], 200

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                host.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/set.zip"

    def answer(self, request):
        asked = request.headers.get("Range")
        self.seen.append(asked)
        start = 0
        held = request.headers.get("If-Range") in (None, self.tag)
        if asked and self.ranges and held:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1))
        if start >= len(self.body) and start:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.body)}")
            request.end_headers()
            return
        request.send_response(206 if start else self.status)
        request.send_header("Content-Length", str(len(self.body) - start))
        request.send_header("Content-Type", self.kind)
        if self.tag:
            request.send_header("ETag", self.tag)
        if start:
            last = len(self.body) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        request.end_headers()
        piece = self.body[start:]
        # A client that has seen enough hangs up; that is not this host's trouble.
        with contextlib.suppress(OSError):
            request.wfile.write(piece[: self.cut.pop(0)] if self.cut else piece)

    def archive(self, known_hash=None):
        return remote.Archive(self.url, known_hash)


@pytest.fixture
def host():
    host = Host()
    host.body = zipped({"SET/Wavfile/a.wav": os.urandom(900_000), "SET/readme.txt": b"hello"})
    yield host
    host.server.shutdown()
    host.server.server_close()


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def download(archives, folder, **more):
    return remote.download(archives, folder, by_hand=BY_HAND, **more)


# --- download


def test_download_and_progress(host, tmp_path):
    calls = []
    path = download([host.archive()], tmp_path, progress=lambda *call: calls.append(call))
    assert path == tmp_path / "set.zip"
    assert path.read_bytes() == host.body
    assert calls[-1] == (len(host.body), len(host.body))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert os.listdir(tmp_path) == ["set.zip"]


def test_a_published_checksum_is_checked(host, tmp_path):
    assert download([host.archive(sha256(host.body))], tmp_path).read_bytes() == host.body


def test_wrong_checksum_leaves_nothing(host, tmp_path):
    with pytest.raises(DatasetError, match=rf"hash.*does not match.*by hand: {BY_HAND}"):
        download([host.archive(sha256(b"other"))], tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_file_with_the_wrong_checksum_is_fetched_anew(host, tmp_path):
    (tmp_path / "set.zip").write_bytes(b"old")
    assert download([host.archive(sha256(host.body))], tmp_path).read_bytes() == host.body


def test_a_file_put_there_by_hand_is_used_without_a_host(tmp_path):
    (tmp_path / "gone.zip").write_bytes(b"mine")
    assert download([GONE], tmp_path).read_bytes() == b"mine"


def test_cuts_are_mended_within_one_call(host, tmp_path):
    host.cut = [300_000, 300_000]
    assert download([host.archive()], tmp_path).read_bytes() == host.body
    assert host.seen == [None, "bytes=300000-", "bytes=600000-"]


def test_the_next_call_goes_on_where_the_last_was_cut(host, tmp_path):
    host.cut = [300_000] + [0] * 5
    with pytest.raises(DatasetError, match=r"cut off after 300000.*goes on from there"):
        download([host.archive()], tmp_path)
    assert not (tmp_path / "set.zip").exists()
    host.seen.clear()
    assert download([host.archive(sha256(host.body))], tmp_path).read_bytes() == host.body
    assert host.seen == ["bytes=300000-"]


@pytest.mark.parametrize("change", ["content", "ranges", "no tag"])
def test_resuming_never_joins_what_does_not_belong_together(host, tmp_path, change):
    host.tag = "" if change == "no tag" else host.tag
    host.cut = [300_000] + [0] * 5
    with pytest.raises(DatasetError, match="cut off"):
        download([host.archive()], tmp_path)
    if change == "content":
        host.body, host.tag = host.body[::-1], '"two"'
    host.ranges = change != "ranges"
    assert download([host.archive()], tmp_path).read_bytes() == host.body


def test_bytes_of_one_host_are_not_continued_at_another(host, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(b"x" * 1000)
    (tmp_path / "set.zip.part.from").write_text("http://elsewhere/set.zip\n")
    assert download([host.archive()], tmp_path).read_bytes() == host.body
    assert host.seen == [None]


def test_a_part_that_is_whole_already(host, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(host.body)
    (tmp_path / "set.zip.part.from").write_text(f"{host.url}\n{host.tag}")
    assert download([host.archive()], tmp_path).read_bytes() == host.body


def test_a_part_longer_than_the_file_starts_anew(host, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(host.body + b"more")
    (tmp_path / "set.zip.part.from").write_text(f"{host.url}\n{host.tag}")
    assert download([host.archive()], tmp_path).read_bytes() == host.body


def test_the_next_host_is_asked_when_one_is_gone(host, tmp_path):
    assert download([GONE, host.archive()], tmp_path).read_bytes() == host.body


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [(404, "text/plain", "404"), (200, "text/html; charset=utf-8", "a web page, not an archive")],
)
def test_answers_that_are_no_archive(host, tmp_path, status, kind, message):
    host.status, host.kind = status, kind
    with pytest.raises(DatasetError, match=message):
        download([host.archive()], tmp_path)
    assert not list(tmp_path.glob("*.zip"))


def test_hosts_that_are_gone_are_all_named(tmp_path):
    other = remote.Archive("http://127.0.0.1:9/other.rar")
    with pytest.raises(DatasetError, match=rf"gone\.zip .*other\.rar .*by hand: {BY_HAND}"):
        download([GONE, other], tmp_path)


def test_not_enough_room_is_said_before_downloading(host, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    with pytest.raises(DatasetError, match=r"the disk is full \(1 MB to download, 0 MB free\)"):
        download([host.archive()], tmp_path)


def test_a_disk_that_fills_up_keeps_what_has_arrived(host, tmp_path, monkeypatch):
    def full(done, total):
        if done > 500_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DatasetError, match=r"disk is full .*a download goes on where it stopped"):
        download([host.archive()], tmp_path, progress=full)
    assert (tmp_path / "set.zip.part").stat().st_size > 500_000
    assert download([host.archive()], tmp_path).read_bytes() == host.body
    assert host.seen[1].startswith("bytes=")


def test_a_folder_that_cannot_be_made(host, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cannot be written .*--data-root"):
        download([host.archive()], tmp_path / "file" / "downloads")


# --- the rest


def test_report_is_short_and_says_how_much_it_leaves_out():
    report = remote.Report("set", 5, 1, missing=["a", "b", "c"], altered=["d: cut"], notes=["n"])
    assert not report.ok
    assert report.lines(most=2) == [
        "set: 1 of 5 files are as expected.",
        "3 missing:",
        "  a",
        "  b",
        "  ... and 1 more",
        "1 not as expected:",
        "  d: cut",
        "n",
    ]
    assert remote.Report("set", 5, 5, unknown=["x"]).ok


def test_file_name_of_an_address():
    assert remote.Archive("http://host/a/set.zip?download=1").file_name == "set.zip"


def test_bar_takes_unknown_totals(capsys):
    with remote.bar("set") as progress:
        progress(10, None)
        progress(20, 20)
    assert "set" in capsys.readouterr().out


def test_importing_asks_for_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, unmix.datasets.mir1k; "
        "print({'pooch', 'requests', 'soundfile', 'scipy', 'torch', 'rich'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
    assert Path(remote.__file__).name == "remote.py"
