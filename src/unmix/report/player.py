"""Listening panels: files beside the page and plain HTML players, no base64, no script."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.report.tables import Shown

FOLDER = "media"
"""Folder of sound files, beside the notebook and beside its page."""

PEAK = 0.9


def slug(text: str) -> str:
    """Return text as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def panel(
    name: str,
    sounds: Mapping[str, Mapping[str, np.ndarray]],
    rate: int,
    caption: str,
    folder: Path | None = None,
) -> Shown:
    """Write sounds as MP3 files and return a table of players.

    All sounds of a panel are scaled by one factor, so that what is louder in the table is louder
    in truth, and nothing clips.

    Args:
        name: start of the files' names; unique within the folder of notebooks.
        sounds: a line of the table to its columns to the sound, `(1, samples)`.
        rate: in Hz.
        caption: what is heard.
        folder: where the page is; None takes the current folder.
    """
    peak = max(float(np.abs(s).max()) for line in sounds.values() for s in line.values())
    gain = np.float32(PEAK / peak) if peak > 0 else np.float32(1.0)
    columns = list(dict.fromkeys(column for line in sounds.values() for column in line))
    body = []
    for line, entries in sounds.items():
        cells = []
        for column in columns:
            if column not in entries:
                cells.append("<td></td>")
                continue
            file = f"{name}-{slug(line)}-{slug(column)}.mp3"
            path = (folder or Path.cwd()) / FOLDER / file
            audio.write(path, entries[column] * gain, rate)
            title = html.escape(f"{line}: {column}", quote=True)
            cells.append(
                f'<td><audio controls preload="none" src="{FOLDER}/{file}" '
                f'aria-label="{title}"></audio></td>'
            )
        body.append(f'<tr><th scope="row">{html.escape(line)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    return Shown(
        f'<div class="unmix-players"><table><caption>{html.escape(caption)}</caption>'
        f'<thead><tr><th scope="col"></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
