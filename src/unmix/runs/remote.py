"""Stores elsewhere: a local mirror of a store in an object store, through fsspec.

A store that is named by a URL (`s3://bucket/runs`, `memory://runs`, `file:///mnt/runs`) is worked
on in a folder of the cache, its mirror. Partial folders and their checkpoints stay there. A
finished run is uploaded file by file, its `provenance.json` last: what has none is no run, so a
process that is killed while it uploads leaves nothing half there. Runs that others finished are
fetched when they are looked for, and held against their checksums before they count.

The mirror knows its URL (`remote.json`), so whoever gets the folder alone, as worker processes do,
works on the same store. Locks hold on one machine only: two machines may do a run twice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmix import files
from unmix.errors import StoreError
from unmix.runs import checksums

MARK = "remote.json"
"""File in a mirror that names the URL."""

COMMIT = "provenance.json"
"""The file that makes a folder a run; uploaded last."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What only the disk of the cache says while a run is fetched."""

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(root: object) -> bool:
    """Return whether a store's name is a URL."""
    return URL.match(str(root)) is not None


def mirror(url: str) -> Path:
    """Return the local folder of a store elsewhere; made, and marked, if it is not there yet.

    Raises:
        StoreError: the URL's protocol is unknown or not installed, or the cache cannot be written.
    """
    url = url.rstrip("/")
    Remote(url)  # refuses what cannot be used before anything is made
    folder = files.cache_folder() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16]
    mark = folder / MARK
    if not mark.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.put(mark, json.dumps({"url": url}) + "\n")
        except OSError as error:
            raise _unwritable(folder, error) from error
    return folder


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{folder}: cannot be written ({error})",
        expected="a cache with room for the runs of a store elsewhere",
        do="free some space, or name another folder with UNMIX_CACHE",
    )


def of(folder: Path) -> Remote | None:
    """Return what a folder is the mirror of, or None where it is a store itself.

    Raises:
        StoreError: the folder's mark cannot be read, or names what cannot be used here.
    """
    mark = folder / MARK
    try:
        return Remote(str(json.loads(mark.read_text(encoding="utf-8"))["url"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"{mark}: cannot be read ({error})",
            do="delete the file and name the store by its URL again",
        ) from error


class Remote:
    """Runs in an object store."""

    def __init__(self, url: str) -> None:
        """Open the file system behind a URL; nothing is read yet.

        Raises:
            StoreError: its protocol is unknown, or the package that speaks it is not installed.
        """
        from fsspec.core import url_to_fs

        self.url = url
        try:
            self.system, self.base = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"{url}: no such store can be used here ({error})",
                expected="a folder, or a URL whose protocol fsspec knows, e.g. s3://bucket/runs",
                do="install the package that is named, or choose another folder with --store",
            ) from error

    def has(self, key: str) -> bool:
        """Return whether a run is there whole."""
        with self._reached():
            self.system.invalidate_cache()
            return bool(self.system.exists(self._path(key, COMMIT)))

    def keys(self) -> list[str]:
        """Return the keys of all runs that are there whole, sorted."""
        with self._reached():
            self.system.invalidate_cache()
            found = self.system.glob(self._path("*", COMMIT))
        return sorted(str(path).split("/")[-2] for path in found)

    def upload(self, folder: Path, key: str) -> None:
        """Upload a finished run, which has its checksums, unless it is there by now.

        Only what the checksums name goes, `provenance.json` last.

        Raises:
            StoreError: the store is out of reach; what is there by then is no run.
        """
        if self.has(key):
            return
        names = sorted({*(checksums.read(folder) or {}), checksums.NAME} - {COMMIT})
        with self._reached():
            self.system.makedirs(self._path(key), exist_ok=True)
            for name in (*names, COMMIT):
                self.system.put_file(str(folder / name), self._path(key, name))

    def fetch(self, key: str, beside: Path) -> None:
        """Download a run into a folder and check it.

        Raises:
            StoreError: it cannot be had, is not what was uploaded, or the cache cannot be written;
                then nothing is left.
        """
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(parents=True)
        except OSError as error:
            raise _unwritable(beside.parent, error) from error
        try:
            with self._reached(beside.parent):
                names = {str(path).split("/")[-1] for path in self._files(key)}
                for name in sorted(names):
                    self.system.get_file(self._path(key, name), str(beside / name))
            lines = checksums.damage(beside)
            if lines:
                broken = "; ".join(line.replace(f"{beside}/", "") for line in lines)
                raise StoreError(
                    f"{self.url}/{key} is damaged: {broken}",
                    expected="files that fit their checksums",
                    do=f"delete {self.url}/{key}; the next run repeats it",
                )
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def _files(self, key: str) -> list[Any]:
        found = self.system.ls(self._path(key), detail=True)
        return [each["name"] for each in found if each["type"] == "file"]

    def _path(self, *parts: str) -> str:
        return "/".join((self.base.rstrip("/"), *parts))

    @contextmanager
    def _reached(self, here: Path | None = None) -> Iterator[None]:
        """Turn whatever a file system raises, and each raises its own, into one error.

        Args:
            here: the folder of the cache that is written meanwhile, if any.
        """
        try:
            yield
        except Exception as error:
            if here and isinstance(error, OSError) and error.errno in NO_ROOM:
                raise _unwritable(here, error) from error
            raise StoreError(
                f"{self.url}: cannot be used ({type(error).__name__}: {error})",
                expected="a store that can be read and written",
                do="check the name, the network and your rights; what was computed is kept in the "
                "cache, and the next call goes on from there",
            ) from error
