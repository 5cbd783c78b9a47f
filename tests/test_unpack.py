"""Archives that mean harm, are damaged, or do not fit on the disk."""

import errno
import io
import os
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest

from aids import zipped
from unmix.datasets import remote
from unmix.errors import DatasetError


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
