"""What the files of one song have in common, from their headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unmix import audio
from unmix.errors import AudioError, DatasetError


def common_shape(paths: Sequence[Path], called: str) -> tuple[int, int]:
    """Return the rate and the number of samples that all the files of a song have in common.

    Args:
        paths: the files, in one folder.
        called: what they are, in a word for messages, such as `sources`.

    Raises:
        DatasetError: a file cannot be read, or lengths or rates differ.
    """
    found: dict[tuple[int, int], list[str]] = {}
    for path in paths:
        try:
            frames, rate = audio.header(path)
        except AudioError as error:
            raise DatasetError(
                f"{path}: cannot be read as sound", do="copy the file anew; it may be cut short"
            ) from error
        found.setdefault((rate, frames), []).append(path.name)
    if len(found) > 1:
        usual = max(found, key=lambda shape: len(found[shape]))
        odd = next(shape for shape in found if shape != usual)
        what = "rate" if odd[0] != usual[0] else "length"
        raise DatasetError(
            f"{paths[0].parent}: {called} of unequal {what}: {found[odd][0]} has {odd[1]} samples "
            f"at {odd[0]} Hz, {found[usual][0]} has {usual[1]} at {usual[0]} Hz",
            expected=f"one length and one rate for all {called} of a song",
            do="copy the song anew; a file may be cut short",
        )
    return next(iter(found))
