"""Listening panels: files beside the page and plain HTML players, no base64, no script."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.report.tables import Shown, words

FOLDER = "media"
"""Folder of sound files, beside the notebook and beside its page."""

PEAK = 0.9


def slug(text: str) -> str:
    """Return text as a part of a file's name; the sign of a number becomes a word."""
    for sign, word in (("-", "minus "), ("−", "minus "), ("+", "plus ")):
        text = re.sub(rf"(?<!\S){re.escape(sign)}(?=\d)", word, text)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def panel(
    name: str,
    sounds: Mapping[str, Mapping[str, np.ndarray]],
    rate: int,
    caption: str,
    folder: Path | None = None,
) -> Shown:
    """Write sounds as MP3 files and return their players.

    All sounds of a panel are scaled by one factor, so that what is louder here is louder in truth,
    and nothing clips.

    Args:
        name: start of the files' names; unique within the folder of notebooks.
        sounds: a system to its sources to the sound, `(1, samples)`.
        rate: in Hz.
        caption: what is heard.
        folder: where the page is; None takes the current folder.
    """
    peak = max(float(np.abs(s).max()) for line in sounds.values() for s in line.values())
    gain = np.float32(PEAK / peak) if peak > 0 else np.float32(1.0)
    figures = []
    for line, entries in sounds.items():
        for column, sound in entries.items():
            file = f"{name}-{slug(line)}-{slug(column)}.mp3"
            audio.write((folder or Path.cwd()) / FOLDER / file, sound * gain, rate)
            title = column if column == line else f"{words(line)}: {column}"
            figures.append(
                f"<figure><figcaption>{html.escape(title)}</figcaption>"
                f'<audio controls preload="none" src="{FOLDER}/{file}" '
                f'aria-label="{html.escape(title, quote=True)}"></audio></figure>'
            )
    return Shown(
        f'<p class="unmix-provenance">{html.escape(caption)}</p>'
        f'<div class="unmix-players">{"".join(figures)}</div>'
    )
