"""Where things lie: the checkout, the store of runs, the evidence, the cache."""

from __future__ import annotations

import os
from pathlib import Path


def checkout() -> Path:
    """Return the checkout that this package is installed from, else the current folder."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "_toc.yml").is_file() else Path.cwd()


def store_folder(given: str | os.PathLike | None = None) -> Path:
    """Return the folder of stored runs: what is given, else `UNMIX_STORE`, else `runs/`.

    For a URL it is the local mirror, see `unmix.runs.remote`.

    Raises:
        StoreError: it is a URL that cannot be used.
    """
    from unmix.runs.remote import is_url, mirror

    value = str(given or os.environ.get("UNMIX_STORE") or "")
    if is_url(value):
        return mirror(value)
    return Path(value).expanduser() if value else checkout() / "runs"


def results_folder(paper: str) -> Path:
    """Return the folder with a paper's evidence: `UNMIX_RESULTS` or `results/`, and its name."""
    return Path(os.environ.get("UNMIX_RESULTS") or checkout() / "results") / paper
