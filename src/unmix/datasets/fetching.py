"""From a data root without a dataset to one with it: download, unpack, verify, tidy up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from unmix.datasets import remote
from unmix.errors import DatasetError


def fetched(
    home: Path,
    verify: Callable[[Path], remote.Report],
    archives: Sequence[remote.Archive],
    *,
    inside: str,
    get: str,
    example: Path,
    progress: remote.Progress | None = None,
) -> remote.Report:
    """Download, unpack and verify a dataset, unless a complete copy is there already.

    The archive is kept in `downloads` beside `home` until what it held has been verified. An
    incomplete `home` is renamed (`remote.unpack`), not deleted.

    Args:
        home: the dataset's folder in the data root, which is made if it does not exist.
        verify: checks the dataset in a data root.
        archives: where to look, in this order.
        inside: name of a folder in the archive by which the dataset's own is known.
        get: what to get by hand where no host answers.
        example: a file that is there once the dataset is.
        progress: called while bytes arrive; see `remote.bar`.

    Returns:
        the report of `verify`, with notes on what was kept; a caller must look at its `ok`.

    Raises:
        DatasetError: no host gives the archive, it is damaged or unsafe, or the disk is full.
    """
    root = home.parent
    with suppress(DatasetError):
        if (report := verify(root)).ok:
            return report
    folder = root / "downloads"
    archive = remote.download(
        archives,
        folder,
        by_hand=f"{get} in a browser and either put the archive into {folder}, or unpack it so "
        f"that {example} exists",
        progress=progress,
    )
    earlier = remote.unpack(archive, home, inside=inside)
    report = verify(root)
    notes = [*report.notes]
    if report.ok:
        archive.unlink()
    else:
        notes.append(f"Delete {archive} to make the next fetch download it anew.")
    if earlier:
        notes.append(f"The folder that was there before is kept as {earlier}.")
    return replace(report, notes=notes)
