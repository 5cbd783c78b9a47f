"""Small files: written whole or not at all, where they are cached, and YAML read as plain data."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any


def put(path: Path, text: str) -> None:
    """Write a text beside its place and rename it into it.

    Whoever reads `path` finds the old text or the new one, never half of either. A process that is
    killed meanwhile leaves at most a hidden file, `.NAME.PID`, beside it.

    Args:
        path: the file; its folder must be there.
        text: what it shall hold, written in UTF-8.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        # A read-only disk refuses to remove even what is not there.
        with contextlib.suppress(OSError):
            beside.unlink()


def cache_folder() -> Path:
    """Return the folder for what can be made anew: `UNMIX_CACHE`, else `~/.cache/unmix`."""
    return Path(os.environ.get("UNMIX_CACHE") or Path.home() / ".cache" / "unmix")


def from_yaml(text: str) -> Any:
    """Return the plain data that a YAML text holds.

    Raises:
        yaml.YAMLError: it is no YAML, or names anything but plain data.
    """
    import yaml

    # libyaml is some eight times as fast, and safe in the same way.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_single_data()
