"""Digests of files, remembered, so that gigabytes are read once and not at every start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from unmix.files import cache_folder, put


def digests(dataset: str, paths: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each file, computed anew only where its size or time has changed.

    They are kept in `DATASET/digests.json` in `files.cache_folder`; a cache that cannot be read or
    written costs time and nothing else.
    """
    file, known = cache_folder() / dataset / "digests.json", {}
    with suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
    found, kept = {}, dict(known) if isinstance(known, dict) else {}
    for path in paths:
        state = path.stat()
        place, mark = str(path.resolve()), [state.st_size, state.st_mtime_ns]
        entry = kept.get(place)
        if not (isinstance(entry, list) and len(entry) == 3 and entry[:2] == mark):
            with path.open("rb") as opened:
                entry = [*mark, hashlib.file_digest(opened, "sha256").hexdigest()]
            kept[place] = entry
        found[path] = str(entry[2])
    if kept != known:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            put(file, json.dumps(kept, indent=0))
    return found
