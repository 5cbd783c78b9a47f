"""References and estimates from files: which belong together, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from unmix import audio
from unmix.errors import AudioError, UnmixError, one_of

SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
MIXTURES = ("mixture", "mix")
"""Files of these names beside the references are no references."""


@dataclass
class Sounds:
    """The sounds to be scored, `(sources, channels, samples)`, and what was done to them."""

    names: list[str]
    references: torch.Tensor
    estimates: torch.Tensor
    rate: int
    notes: list[str] = field(default_factory=list)


def gather(references: Path, estimates: Path, align: bool = False, permute: bool = False) -> Sounds:
    """Read references and estimates and bring them to one shape.

    Raises:
        UnmixError: names, rates, lengths or channel counts do not belong together.
        AudioError: a file cannot be used.
    """
    pairs, notes = _pairs(references, estimates, permute)
    true = {
        name: (path, *audio.read(path, allow_silence=True)) for name, (path, _) in pairs.items()
    }
    first_path, first, rate = next(iter(true.values()))
    for path, sound, found in true.values():
        _same(path, (found, sound.shape), first_path, (rate, first.shape))
    found_sounds = []
    for _, path in pairs.values():
        sound, found = audio.read(path, allow_silence=True)
        if align:
            sound, changes = _aligned(sound, found, first, rate)
            notes.extend(f"{path.name}: {change}" for change in changes)
        else:
            _same(path, (found, sound.shape), first_path, (rate, first.shape), " (or --align)")
        found_sounds.append(sound)
    return Sounds(
        list(pairs),
        torch.from_numpy(np.stack([sound for _, sound, _ in true.values()])),
        torch.from_numpy(np.stack(found_sounds)),
        rate,
        notes,
    )


def _pairs(
    references: Path, estimates: Path, permute: bool
) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return reference and estimate by source, and what was left out."""
    for path in (references, estimates):
        if not path.exists():
            raise AudioError(f"{path}: no such file or folder", do="check the name")
    if references.is_file() and estimates.is_file():
        return {references.stem: (references, estimates)}, []
    if references.is_file() or estimates.is_file():
        raise UnmixError(
            f"{references} and {estimates} are a file and a folder",
            expected="two folders with files of the same names, or two files",
        )
    true, found = _sounds_in(references), _sounds_in(estimates)
    notes = []
    for name in MIXTURES:
        if name in true and name not in found and len(true) > 1:
            notes.append(f"{true.pop(name).name}: left out, a mixture is no source")
    if permute and set(true) != set(found) and len(true) == len(found):
        notes.append(f"estimates in the order {', '.join(path.name for path in found.values())}")
        return dict(zip(true, zip(true.values(), found.values(), strict=True), strict=True)), notes
    for name, path in found.items():
        if name not in true:
            raise UnmixError(
                f"{path}: no reference of that name; {one_of('source', name, true)}",
                expected=", ".join(sorted(true)),
                do="name estimates as the references are named",
            )
    if missing := sorted(set(true) - set(found)):
        raise UnmixError(
            f"{estimates}: no estimate of {', '.join(missing)}",
            expected=f"a file for each source of {references}: {', '.join(true)}",
            do="add the missing files; interference is measured against all sources",
        )
    return {name: (true[name], found[name]) for name in true}, notes


def _sounds_in(folder: Path) -> dict[str, Path]:
    """Return the sound files of a folder by the name without the ending."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SOUNDS or path.name.startswith("."):
            continue
        if path.stem in found:
            raise UnmixError(
                f"{folder}: two files for source '{path.stem}', {found[path.stem].name} and "
                f"{path.name}",
                do="keep one of them",
            )
        found[path.stem] = path
    if not found:
        inside = any(path.is_dir() for path in folder.iterdir())
        raise UnmixError(
            f"{folder}: holds no sound files{', but folders' * inside}",
            expected=f"files *{', *'.join(SOUNDS)}",
            do="give the folders of one track" if inside else "",
        )
    return found


def _same(path: Path, found: tuple, first: Path, expected: tuple, hint: str = "") -> None:
    """Refuse a file whose rate, length or channel count differs from the first reference's."""
    (rate, (channels, samples)), (right_rate, (right_channels, right_samples)) = found, expected
    for what, is_, ought in (
        ("Hz", rate, right_rate),
        ("channel(s)", channels, right_channels),
        ("samples", samples, right_samples),
    ):
        if is_ != ought:
            raise AudioError(
                f"{path}: {is_} {what}",
                expected=f"{ought} {what}, as {first} has",
                do=f"use files that were cut from the same recording{hint}",
            )


def _aligned(
    sound: np.ndarray, rate: int, reference: np.ndarray, right_rate: int
) -> tuple[np.ndarray, list[str]]:
    """Return a sound with the reference's rate, channel count and length, and what was done."""
    changes = []
    if rate != right_rate:
        sound = audio.resample(sound, rate, right_rate)
        changes.append(f"resampled from {rate} to {right_rate} Hz")
    channels, samples = reference.shape
    if len(sound) != channels:
        if channels == 1:
            sound = sound.mean(0, keepdims=True)
            changes.append("channels averaged to one")
        elif len(sound) == 1:
            sound = np.repeat(sound, channels, axis=0)
            changes.append(f"one channel copied to {channels}")
        else:
            raise AudioError(f"{len(sound)} channels cannot be aligned with {channels}")
    difference = samples - sound.shape[1]
    if difference > 0:
        sound = np.pad(sound, ((0, 0), (0, difference)))
        changes.append(f"{difference} samples of silence added at the end")
    elif difference < 0:
        sound = sound[:, :samples]
        changes.append(f"{-difference} samples cut at the end")
    return sound, changes
