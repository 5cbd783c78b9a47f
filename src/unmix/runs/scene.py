"""From a clip with its sources to what is heard: a target over the sum of the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from unmix.audio import LEVEL, mix, rms
from unmix.datasets.track import ACCOMPANIMENT, Dataset, Scene, Track
from unmix.errors import AudioError, DatasetError, SpecError, one_of
from unmix.runs.spec import Mixing

PAUSE_DB = 60.0
"""A source that lies further below its own level over the song pauses: what is left is noise."""


def loaded(dataset: Dataset, name: str, rate: int, mixing: Mixing) -> Track:
    """Return the sound of a clip at `rate` Hz, or of a song whose clips are heard as one."""
    if not mixing.whole:
        return dataset.load(name, rate)
    parts = [dataset.load(clip.name, rate) for clip in dataset.clips() if clip.song == name]
    sources = {
        source: np.concatenate([part.sources[source] for part in parts], axis=1)
        for source in parts[0].sources
    }
    clip = replace(parts[0].clip, name=name)
    return replace(parts[0], clip=clip, sources=sources)


def scene(track: Track, mixing: Mixing) -> Scene:
    """Mix a clip.

    With `level` at `clip`, target and accompaniment have the SNR over the clip; with `song` over
    the song that the clip is cut from, so that one gain a source holds for all its clips. With
    `recorded`, the mixture is the sum of the targets as they are.

    Raises:
        SpecError: the clip has no such sources, or its dataset does not know the song's levels.
        AudioError: target or accompaniment pauses for the whole clip, and levels are the clip's.
        DatasetError: the clip has fewer channels than are asked for.
    """
    track = _with_channels(track, mixing.channels)
    if mixing.level == "recorded":
        return _as_recorded(track, mixing.targets)
    for name in (mixing.target, *mixing.without):
        if name not in track.sources:
            raise SpecError(
                one_of(f"source of {track.clip.name}:", name, track.sources),
                expected=", ".join(track.sources),
            )
    others = [name for name in track.sources if name not in (mixing.target, *mixing.without)]
    if not others:
        raise SpecError(
            f"{track.clip.name}: no source is left beside the {mixing.target}",
            expected="an accompaniment",
        )
    target = track.sources[mixing.target]
    rest = sum((track.sources[name] for name in others[1:]), track.sources[others[0]])
    pairs = ((mixing.target, [mixing.target], target), (ACCOMPANIMENT, others, rest))
    if mixing.level == "clip":
        for name, parts, sound in pairs:
            if _pauses(track, parts, sound):
                raise AudioError(
                    f"{track.clip.name}: its {name} pauses for the whole clip",
                    expected="sound to bring to a level",
                )
        heard = mix(target, rest, mixing.snr_db)
    else:
        gains = [LEVEL / _song_level(track, parts) for _, parts, _ in pairs]
        raised = (target * (gains[0] * 10.0 ** (mixing.snr_db / 20.0))).astype(np.float32)
        below = (rest * gains[1]).astype(np.float32)
        heard = (raised + below, raised, below)
    references = {mixing.target: heard[1], ACCOMPANIMENT: heard[2]}
    return Scene(track.clip, track.rate, heard[0], references)


def _with_channels(track: Track, channels: int) -> Track:
    """Return a clip whose sources have so many channels: one is the mean of all."""
    if channels == 1:
        means = {
            name: sound if len(sound) == 1 else sound.mean(0, keepdims=True)
            for name, sound in track.sources.items()
        }
        return replace(track, sources=means)
    for name, sound in track.sources.items():
        if len(sound) != channels:
            raise DatasetError(
                f"{track.clip.name}: its {name} has {len(sound)} channel{'s' * (len(sound) > 1)}",
                expected=f"{channels} channels",
            )
    return track


def _as_recorded(track: Track, targets: tuple[str, ...]) -> Scene:
    """Return the sum of those targets that a clip has; a solo recording has one of them."""
    found = {name: track.sources[name] for name in targets if name in track.sources}
    if not found:
        raise SpecError(
            f"{track.clip.name} has {', '.join(track.sources)}",
            expected=f"some of {', '.join(targets)}",
        )
    first, *others = found.values()
    return Scene(track.clip, track.rate, sum(others, first), found)


def accompanied(sounds: Mapping[str, np.ndarray], target: str) -> dict[str, np.ndarray]:
    """Return a source and the sum of all others."""
    first, *others = (sound for name, sound in sounds.items() if name != target)
    return {target: sounds[target], ACCOMPANIMENT: sum(others, first)}


def complete(mixed: Scene, sources: tuple[str, ...]) -> Scene:
    """Return a scene that has all sources.

    Raises:
        DatasetError: it lacks one.
    """
    missing = [name for name in sources if name not in mixed.references]
    if missing:
        raise DatasetError(
            f"{mixed.clip.name}: without {', '.join(missing)}",
            expected=f"a recording of each of {', '.join(sources)} to score",
        )
    return mixed


def scenes(tracks: Iterable[Track], mixing: Mixing) -> Iterator[Scene]:
    """Yield the clips as they are mixed, without those in which target or accompaniment pauses."""
    for track in tracks:
        try:
            yield scene(track, mixing)
        except AudioError:
            continue


def _pauses(track: Track, parts: list[str], sound: np.ndarray) -> bool:
    level = rms(sound)
    if track.song_energies is None or not level > 0.0:
        return not level > 0.0
    return level < _song_level(track, parts) * 10.0 ** (-PAUSE_DB / 20.0)


def _song_level(track: Track, parts: list[str]) -> float:
    """Return the RMS of a sum of sources over the whole song."""
    if track.song_energies is None:
        raise SpecError(
            f"{track.clip.name}: its dataset knows clips, not songs",
            expected="levels by clip (mixing.level)",
        )
    power = sum(track.song_energies[one, other] for one in parts for other in parts)
    if not power > 0.0:
        raise AudioError(f"{track.clip.song}: {', '.join(parts)} silent throughout the song")
    return float(power**0.5)
