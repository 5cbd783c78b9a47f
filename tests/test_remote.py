"""Downloads that are cut, hosts that are gone, archives that mean harm, disks that are full."""

import errno
import hashlib
import io
import os
import re
import shutil
import stat
import tarfile
import threading
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unmix.datasets import remote
from unmix.errors import DatasetError

BY_HAND = "get it in a browser"
GONE = remote.Archive("http://127.0.0.1:9/gone.zip")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "PAUSE", 0.0)


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
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
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


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


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


# --- unpack


@pytest.fixture
def make(tmp_path):
    """Return a function that writes an archive of the given bytes."""

    def make(content, name="set.zip"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


def unpack(archive, tmp_path):
    return remote.unpack(archive, tmp_path / "data" / "SET", inside="Wavfile")


def nothing_left(tmp_path):
    return not (tmp_path / "data").exists() or os.listdir(tmp_path / "data") == []


@pytest.mark.parametrize("top", ["", "SET/", "some/where/SET-1.0/"])
def test_unpack_finds_the_folder_wherever_it_lies(make, tmp_path, top):
    members = {f"{top}Wavfile/a.wav": b"1", "__MACOSX/Wavfile/._a.wav": b"2"}
    assert unpack(make(zipped(members)), tmp_path) is None
    assert (tmp_path / "data" / "SET" / "Wavfile" / "a.wav").read_bytes() == b"1"
    assert os.listdir(tmp_path / "data") == ["SET"]


def test_an_earlier_folder_is_kept(make, tmp_path):
    for number in (1, 2):
        archive = make(zipped({f"SET/Wavfile/{number}.wav": b"1"}))
        earlier = unpack(archive, tmp_path)
    assert earlier == tmp_path / "data" / "SET.old-1"
    assert os.listdir(earlier / "Wavfile") == ["1.wav"]
    assert os.listdir(tmp_path / "data" / "SET" / "Wavfile") == ["2.wav"]


@pytest.mark.parametrize(
    "name", ["../out.wav", "SET/../../out.wav", "/out.wav", "C:\\out.wav", "..\\out.wav"]
)
def test_members_outside_the_folder_are_refused(make, tmp_path, name):
    archive = make(zipped({"SET/Wavfile/a.wav": b"1", name: b"evil"}))
    with pytest.raises(DatasetError, match=r"refused, nothing was unpacked .*out\.wav"):
        unpack(archive, tmp_path)
    assert nothing_left(tmp_path)
    assert not list(tmp_path.rglob("*out.wav"))


def test_links_in_a_zip_are_refused(make, tmp_path):
    link = zipfile.ZipInfo("SET/Wavfile/link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DatasetError, match=r"link\.wav is a link"):
        unpack(make(zipped({link: b"/etc/hostname"})), tmp_path)
    assert nothing_left(tmp_path)


def tarred(members, links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, goal in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, goal
            tar.addfile(info)
    return buffer.getvalue()


def test_tar_archives(make, tmp_path):
    unpack(make(tarred({"SET/Wavfile/a.wav": b"1"}), "set.tar.gz"), tmp_path)
    assert (tmp_path / "data" / "SET" / "Wavfile" / "a.wav").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("members", "links"),
    [({"../out.wav": b"1"}, ()), ({}, [("SET/Wavfile/l", "/etc")]), ({}, [("l", "../../x")])],
)
def test_unsafe_tar_archives_are_refused(make, tmp_path, members, links):
    content = tarred({"SET/Wavfile/a.wav": b"1", **members}, links)
    with pytest.raises(DatasetError, match="refused, nothing was unpacked"):
        unpack(make(content, "set.tar.gz"), tmp_path)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>buy this domain</html>", "is no archive .*ZIP, tar or RAR.*delete it"),
        (zipped({"SET/Audio/a.wav": b"1"}), "holds no folder Wavfile"),
        (tarred({"Wavfile/a.wav": os.urandom(90_000)})[:50_000], "is damaged"),
        (
            zipped({"Wavfile/a.wav": b"abcdefgh" * 100}).replace(b"abcdefgh", b"abcdefgX", 1),
            "is damaged .*Bad CRC",
        ),
    ],
)
def test_archives_that_are_of_no_use(make, tmp_path, content, message):
    with pytest.raises(DatasetError, match=message):
        unpack(make(content), tmp_path)
    assert nothing_left(tmp_path)


def test_no_room_to_unpack(make, tmp_path, monkeypatch):
    archive = make(zipped({"Wavfile/a.wav": bytes(3_000_000)}))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda _: usage(1, 1, 2_000_000))
    with pytest.raises(DatasetError, match=r"the disk is full \(3 MB to unpack, 2 MB free\)"):
        unpack(archive, tmp_path)
    assert nothing_left(tmp_path)


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(make, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = make(zipped({"Wavfile/a.wav": b"1", "Wavfile/b.wav": b"2"}))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DatasetError, match="the disk is full"):
        unpack(archive, tmp_path)
    assert nothing_left(tmp_path)


# --- RAR, by a program of the system (here: scripts that stand in for it)


def program(tmp_path, monkeypatch, script):
    """Put a program named `bsdtar` that runs `script` where programs are found, and no other."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "bsdtar").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (tools / "bsdtar").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))


def test_rar_is_left_to_a_program(make, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, 'mkdir -p SET/Wavfile && echo "$1 $2" > SET/Wavfile/a.wav')
    archive = make(b"Rar!....", "set.rar")
    unpack(archive, tmp_path)
    called = (tmp_path / "data" / "SET" / "Wavfile" / "a.wav").read_text().strip()
    assert called == f"-xf {archive}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("mkdir Wavfile; ln -s /etc Wavfile/etc", "refused.*Wavfile/etc is a link out of"),
        ("echo broken header >&2; exit 1", r"bsdtar could not unpack it \(broken header\)"),
    ],
)
def test_rar_that_goes_wrong(make, tmp_path, monkeypatch, script, message):
    program(tmp_path, monkeypatch, script)
    with pytest.raises(DatasetError, match=message):
        unpack(make(b"Rar!....", "set.rar"), tmp_path)
    assert nothing_left(tmp_path)


def test_rar_without_a_program(make, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"no program to unpack RAR .*bsdtar.*install one"):
        unpack(make(b"Rar!....", "set.rar"), tmp_path)


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
        "1 altered:",
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
