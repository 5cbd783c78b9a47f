"""Fetching a dataset: download with resumption, unpack safely, say what is there.

Archives come from hosts that nobody here controls: they vanish, are cut off half-way, or answer
with a page of advertisements. So a download goes on where it was cut (HTTP Range, held to the
same file by If-Range), nothing is unpacked outside its folder, and a dataset is put into its
place complete or not at all. Checksums of archives are used where they are published; where
they are not, the dataset's own index of files is what decides (see `Report`).
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from typing import Any

from unmix.errors import DatasetError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and the bytes in all (None where the host does not say)."""

CHUNK = 1 << 16
TIMEOUT = (15, 60)
"""Seconds to connect, and seconds without a byte, after which a host is given up."""

PAUSE = 2.0
"""Seconds to wait after a try without a byte, times the number of such tries."""

RAR_TOOLS = {"bsdtar": ["-xf"], "unrar": ["x", "-idq", "-y"], "unar": ["-q"]}
"""Programs that unpack RAR, which Python cannot, with their options before the archive."""


@dataclass(frozen=True)
class Archive:
    """Where an archive can be had: its address, file name, and hash (`sha256:...`) if known."""

    url: str
    known_hash: str | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(self.url.split("?")[0]).name


@dataclass(frozen=True)
class Report:
    """What a check of a dataset's files found.

    `altered` and `notes` hold lines to be read; `missing` and `unknown` hold names.
    """

    title: str
    expected: int
    fine: int
    missing: Sequence[str] = ()
    altered: Sequence[str] = ()
    unknown: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether every expected file is there, as expected."""
        return self.fine == self.expected and not self.missing and not self.altered

    def lines(self, most: int = 10) -> list[str]:
        """Return the report as text, with at most `most` entries of each kind."""
        text = [f"{self.title}: {self.fine} of {self.expected} files are as expected."]
        for what, entries in (
            ("missing", self.missing),
            ("not as expected", self.altered),
            ("not part of the dataset (ignored)", self.unknown),
        ):
            if entries:
                text.append(f"{len(entries)} {what}:")
                text += [f"  {entry}" for entry in entries[:most]]
                text += [f"  ... and {len(entries) - most} more"] if len(entries) > most else []
        return [*text, *self.notes]


class Resume:
    """A downloader for pooch that goes on where an earlier download was cut.

    pooch gives every attempt a new temporary file, so the bytes are collected beside it, in
    `part`, and handed over when they are complete.
    """

    def __init__(self, part: Path, progress: Progress | None = None, tries: int = 5) -> None:
        """Collect into `part`; after a cut, try again (`tries` times in a row without a byte)."""
        self.part, self.progress, self.tries = part, progress, tries
        # Whose bytes these are: the address, and what the host calls this version of the file.
        self.tag = part.with_name(part.name + ".from")

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Download `url` to `output_file`; the signature is pooch's."""
        import requests

        failures = 0
        while True:
            before = self._size()
            try:
                self._get(url)
                break
            except (requests.ConnectionError, requests.Timeout, _CutError):
                failures = 0 if self._size() > before else failures + 1
                # Without a first byte the host is gone, and patience does not bring it back.
                if failures >= self.tries or self._size() == 0:
                    raise
                time.sleep(PAUSE * failures)
        os.replace(self.part, output_file)
        self.tag.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get(self, url: str) -> None:
        import requests

        of, _, version = self.tag.read_text().partition("\n") if self.tag.exists() else ("", "", "")
        start = self._size() if of == url else 0
        # Compressed transfer would make byte ranges mean something else.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if version:
                headers["If-Range"] = version
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            content_range = answer.headers.get("Content-Range", "")
            if answer.status_code == 416:
                if content_range == f"bytes */{start}":
                    return
                self.part.unlink()
                return self._get(url)
            answer.raise_for_status()
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                raise requests.HTTPError("answered with a web page, not an archive")
            if answer.status_code != 206 or not content_range.startswith(f"bytes {start}-"):
                start = 0
            length = answer.headers.get("Content-Length")
            version = answer.headers.get("ETag", "")
            if not version or version.startswith("W/"):
                version = answer.headers.get("Last-Modified", "")
            self.tag.write_text(f"{url}\n{version}")
            self._keep(answer, start, start + int(length) if length else None)

    def _keep(self, answer: Any, start: int, total: int | None) -> None:
        """Append the body to `part` from byte `start` on."""
        import requests

        room = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > room:
            raise OSError(errno.ENOSPC, f"{_mb(total - start)} to download, {_mb(room)} free")
        done = start
        with self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            try:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if self.progress:
                        self.progress(done, total)
            except requests.exceptions.ChunkedEncodingError as error:
                raise _CutError(f"cut off after {done} bytes") from error
        if total is not None and done < total:
            raise _CutError(f"cut off after {done} of {total} bytes")


class _CutError(OSError):
    """A transfer ended before its end."""


def download(
    archives: Sequence[Archive], folder: Path, *, by_hand: str, progress: Progress | None = None
) -> Path:
    """Return an archive's file in `folder`, from the first host that gives it.

    An archive that lies there already, from a download or put there by hand, is used without
    asking any host.

    Args:
        archives: the same content at several hosts, best first.
        folder: where archives are kept.
        by_hand: how a user can put the dataset into place himself; ends the error message.
        progress: called while bytes arrive.

    Raises:
        DatasetError: no host gives the file, its checksum is wrong, or the disk is full.
    """
    import pooch
    import requests

    for archive in archives:
        if (folder / archive.file_name).is_file() and archive.known_hash is None:
            return folder / archive.file_name
    failures = []
    for archive in archives:
        path = folder / archive.file_name
        downloader = Resume(path.with_name(path.name + ".part"), progress)
        try:
            with _quiet(pooch.get_logger()):
                pooch.retrieve(
                    archive.url, archive.known_hash, path.name, folder, downloader=downloader
                )
            return path
        except (requests.RequestException, _CutError) as error:
            failures.append(f"{archive.url} ({_short(error)})")
        except ValueError as error:  # pooch's word for a checksum that differs
            failures.append(f"{archive.url} ({error})")
        except OSError as error:
            raise _disk(error, folder) from error
    raise DatasetError(
        "no host gave the archive; tried " + "; ".join(failures),
        expected="a host that answers, and a file with the published checksum",
        do=f"run the same command again (what has arrived is kept in {folder} and goes on from "
        f"there), or by hand: {by_hand}",
    )


def unpack(archive: Path, target: Path, inside: str) -> Path | None:
    """Unpack the folder above `inside` of a ZIP, tar or RAR archive as `target`.

    The archive is unpacked beside `target` and renamed, so that `target` is complete or not
    there. A `target` that exists is kept under another name.

    Args:
        archive: the file.
        target: the folder to be made.
        inside: a folder that the dataset's folder holds, by which it is recognised wherever it
            lies in the archive (`Wavfile` for `MIR-1K/Wavfile`).

    Returns:
        where an earlier `target` was moved to, if there was one.

    Raises:
        DatasetError: the archive is damaged or of another kind, would write outside its folder,
            does not hold `inside`, or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _disk(error, target.parent) from error
    try:
        _extract(archive, work)
        _refuse_links_out(archive, work)
        found = sorted(
            (p.parent for p in work.rglob(inside) if p.is_dir() and "__MACOSX" not in p.parts),
            key=lambda p: len(p.parts),
        )
        if not found:
            raise DatasetError(
                f"{archive}: holds no folder {inside}",
                do="delete it and fetch the archive again, or get it from another host",
            )
        earlier = _aside(target) if target.exists() else None
        # mkdtemp's own folder is closed to other users; a dataset is not.
        found[0].chmod(0o755)
        os.replace(found[0], target)
        return earlier
    except OSError as error:
        raise _disk(error, target.parent) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract(archive: Path, work: Path) -> None:
    """Unpack into the empty folder `work`."""
    try:
        with archive.open("rb") as file:
            head = file.read(4)
        if head == b"Rar!":
            _extract_rar(archive, work)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _check_zip(archive, opened, work)
                opened.extractall(work)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")
        else:
            raise DatasetError(
                f"{archive}: is no archive (it begins with {head!r})",
                expected="a ZIP, tar or RAR file",
                do="delete it and fetch it again",
            )
    except tarfile.FilterError as error:
        raise _unsafe(archive, str(error)) from error
    except (zipfile.BadZipFile, zlib.error, tarfile.TarError, BadGzipFile, EOFError) as error:
        raise DatasetError(
            f"{archive}: is damaged ({error})", do="delete it and fetch it again"
        ) from error


def _check_zip(archive: Path, opened: zipfile.ZipFile, work: Path) -> None:
    """Refuse members that would land elsewhere, and more bytes than the disk takes."""
    for member in opened.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path)):
            raise _unsafe(archive, f"{member.filename} lies outside the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _unsafe(archive, f"{member.filename} is a link")
    size, room = sum(m.file_size for m in opened.infolist()), shutil.disk_usage(work).free
    if size > room:
        raise OSError(errno.ENOSPC, f"{_mb(size)} to unpack, {_mb(room)} free")


def _extract_rar(archive: Path, work: Path) -> None:
    tool = next((tool for tool in RAR_TOOLS if shutil.which(tool)), None)
    if tool is None:
        raise DatasetError(
            f"{archive}: no program to unpack RAR was found (looked for {', '.join(RAR_TOOLS)})",
            do="install one (Debian: libarchive-tools; Homebrew: libarchive, unar) and run again",
        )
    command = [tool, *RAR_TOOLS[tool], str(archive.resolve())]
    result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip()[-200:]
        raise DatasetError(
            f"{archive}: {tool} could not unpack it ({reason})", do="delete it and fetch it again"
        )


def _refuse_links_out(archive: Path, work: Path) -> None:
    home = work.resolve()
    for path in work.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise _unsafe(archive, f"{path.relative_to(work)} is a link out of the folder")


def _aside(target: Path) -> Path:
    """Rename `target` to the first free `NAME.old-N` and return that."""
    number = 1
    while (other := target.with_name(f"{target.name}.old-{number}")).exists():
        number += 1
    os.replace(target, other)
    return other


def _unsafe(archive: Path, why: str) -> DatasetError:
    return DatasetError(
        f"{archive}: refused, nothing was unpacked ({why})",
        expected="an archive whose files all lie inside its own folder",
        do="delete it; it is not the dataset's archive",
    )


def _disk(error: OSError, folder: Path) -> DatasetError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return DatasetError(
        f"{folder}: {'the disk is full' if full else 'cannot be written'} ({error.strerror})",
        do="free some space and run again; a download goes on where it stopped"
        if full
        else "choose another data root (--data-root), or change the folder's permissions",
    )


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 160 else text[:157] + "..."


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Hold back pooch's own messages, which would run into the progress bar."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def bar(what: str) -> Iterator[Progress]:
    """Show a progress bar on the terminal; gives the function to call with the bytes."""
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Display

    with Display("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn()) as d:
        task = d.add_task(what, total=None)
        yield lambda done, total: d.update(task, completed=done, total=total)
