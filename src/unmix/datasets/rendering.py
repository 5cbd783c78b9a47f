"""The player of the embedded stand-ins: notes on the programs of a SoundFont, and rooms, in numpy.

Tones are arrays of shape `(samples,)`; times are in seconds, pitches in MIDI keys (69 = 440 Hz).
Every result depends on its arguments alone, so a stand-in is the same to the bit in any order.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from unmix.datasets.soundfont import SoundFont, Zone

PEAK = 0.9
"""Largest magnitude in a finished song; files clip at 1."""


@dataclass(frozen=True)
class Note:
    """A note: `start` and `seconds` in seconds, `key` in MIDI keys, `velocity` 1 to 127."""

    start: float
    seconds: float
    key: int
    velocity: int = 100


def tone(
    font: SoundFont,
    program: int,
    key: int,
    seconds: float,
    rate: int,
    *,
    velocity: int = 100,
    bend: np.ndarray | float = 0.0,
    drums: bool = False,
) -> np.ndarray:
    """Return one held tone, without its release.

    Args:
        font: where the tone comes from.
        program: General MIDI program; with `drums`, the kit (0 is the standard one).
        key: MIDI key; with `drums`, the instrument of the kit.
        seconds: how long it is held.
        rate: sampling rate in Hz. Nothing guards against aliasing: take at least 32000 and
            resample the finished part.
        velocity: chooses among the recordings and their brightness; levels it leaves alone.
        bend: semitones by which the pitch deviates: a number, or of shape `(samples,)`.
        drums: whether the program is a drum kit.

    Returns:
        float32 samples of shape `(samples,)`; zeros where the program has no sound at the key.
    """
    count = round(seconds * rate)
    total = np.zeros(count, dtype=np.float32)
    for zone in font.zones(program, drums=drums):
        if zone.plays(key, velocity):
            played = _play(font.samples, zone, key, count, rate, bend) * _envelope(
                zone, count, rate
            )
            cutoff = zone.cutoff * 2.0 ** (-2.0 * (1 - velocity / 127))
            total += lowpass(played, cutoff, rate)
    return total


def perform(
    font: SoundFont,
    notes: Sequence[Note],
    program: int,
    seconds: float,
    rate: int,
    *,
    bend: float = 0.0,
    drums: bool = False,
) -> np.ndarray:
    """Return a part played by one program.

    A velocity acts on the level as General MIDI recommends (40 log10(velocity / 127) dB) and,
    in four steps, on the brightness. Drums ring on; other notes end with their release.

    Args:
        font: what it is played with.
        notes: the part, in any order.
        program: as for `tone`.
        seconds: length of the result; what rings on is cut off there.
        rate: sampling rate in Hz, as for `tone`.
        bend: semitones by which the instrument is out of tune.
        drums: as for `tone`; the notes' `seconds` then do not count.

    Returns:
        float32 samples of shape `(samples,)`.
    """
    part = np.zeros(round(seconds * rate), dtype=np.float32)
    longest: dict[tuple[int, int], float] = {}
    plan = []
    for note in notes:
        layer = min(127, 32 * (note.velocity // 32) + 31)
        playing = [z for z in font.zones(program, drums=drums) if z.plays(note.key, layer)]
        release = min(0.6, max((zone.release for zone in playing), default=0.0) + 0.02)
        held = 1.5 if drums else note.seconds
        sounding = min(held + release, seconds - note.start)
        longest[note.key, layer] = max(sounding, longest.get((note.key, layer), 0.0))
        plan.append((note, layer, held, release, sounding))
    tones = {
        (key, layer): tone(font, program, key, length, rate, velocity=layer, bend=bend, drums=drums)
        for (key, layer), length in longest.items()
    }
    for note, layer, held, release, sounding in plan:
        first, count = round(note.start * rate), round(sounding * rate)
        sound = tones[note.key, layer][: min(count, len(part) - first)].copy()
        ringing = sound[round(held * rate) :]
        ringing *= _fall(round(release * rate))[: len(ringing)]
        part[first : first + len(sound)] += sound * np.float32((note.velocity / 127) ** 2)
    return part


def _play(
    samples: np.ndarray, zone: Zone, key: int, count: int, rate: int, bend: np.ndarray | float
) -> np.ndarray:
    """Read a recording at another speed, with cubic interpolation (Catmull-Rom)."""
    speed = zone.rate / rate * 2.0 ** ((key - zone.root) * zone.scale / 12)
    steps = speed * np.exp2(np.asarray(bend, dtype=np.float64) / 12)
    if steps.ndim == 0:
        position = zone.start + steps * np.arange(count)
    else:
        position = zone.start + np.cumsum(steps) - steps
    # The way never turns back, so all that lies beyond the end lies behind this place.
    beyond_end = int(np.searchsorted(position, zone.loop[1] if zone.loop else zone.end - 3))
    if zone.loop is not None:
        first, last = zone.loop
        position[beyond_end:] = first + np.mod(position[beyond_end:] - first, last - first)
    else:
        position = position[:beyond_end]
    index = position.astype(np.intp)
    t = (position - index).astype(np.float32)
    before, here, after, beyond = (
        np.take(samples, index + shift, mode="clip") for shift in (-1, 0, 1, 2)
    )
    half = np.float32(0.5)
    curve = half * (beyond - before) + np.float32(1.5) * (here - after)
    bow = before - np.float32(2.5) * here + 2 * after - half * beyond
    sound = here + t * (half * (after - before) + t * (bow + t * curve))
    return np.pad(sound * np.float32(zone.gain), (0, count - len(sound)))


def _envelope(zone: Zone, count: int, rate: int) -> np.ndarray:
    """Return a zone's rise, hold and decay to its sustain: factors, shape `(samples,)`."""
    time = np.arange(count, dtype=np.float32) / np.float32(rate)
    since = np.maximum(0.0, time - np.float32(zone.attack + zone.hold))
    # The decay's time is that of a fall by 100 dB, whatever the sustain.
    fall = np.exp(since * np.float32(-5 * np.log(10) / max(zone.decay, 1e-3)))
    # A millisecond at least: some drums start amid a swing.
    rise = np.minimum(1.0, time / np.float32(max(zone.attack, 1e-3)))
    return np.asarray(rise * np.maximum(fall, np.float32(zone.sustain)), dtype=np.float32)


@functools.lru_cache(maxsize=64)
def _fall(count: int) -> np.ndarray:
    """Return a release as factors, shape `(samples,)`: by 60 dB, and to zero at the end."""
    share = np.arange(count + 1) / count
    return np.asarray(10.0 ** (-3.0 * share) * np.clip(5 - 5 * share, 0, 1), dtype=np.float32)


def lowpass(sound: np.ndarray, cutoff: float, rate: int) -> np.ndarray:
    """Return `sound` (`(..., samples)`) low-passed at `cutoff` Hz, 12 dB an octave."""
    if cutoff >= 0.45 * rate:
        return sound
    return _filtered(sound, cutoff, "lowpass", rate)


def highpass(sound: np.ndarray, cutoff: float, rate: int) -> np.ndarray:
    """Return `sound` (`(..., samples)`) high-passed at `cutoff` Hz, 12 dB an octave."""
    return _filtered(sound, cutoff, "highpass", rate)


def _filtered(sound: np.ndarray, cutoff: float, kind: str, rate: int) -> np.ndarray:
    from scipy import signal

    return signal.sosfilt(_sections(cutoff, kind, rate), sound, axis=-1).astype(np.float32)


@functools.lru_cache(maxsize=4096)
def _sections(cutoff: float, kind: str, rate: int) -> np.ndarray:
    from scipy import signal

    return np.asarray(signal.butter(2, max(cutoff, 20.0), kind, fs=rate, output="sos"))


def unclipped(sources: np.ndarray) -> np.ndarray:
    """Return sources `(sources, samples)` at one common gain: the highest peak becomes `PEAK`.

    Neither a source nor the mixture exceeds it.
    """
    most = max(np.abs(sources).max(), np.abs(sources.sum(axis=0)).max())
    return sources * np.float32(PEAK / most)


def room(
    sound: np.ndarray, rate: int, seconds: float, wet: float, rng: np.random.Generator
) -> np.ndarray:
    """Return `sound` (`(..., samples)`) in a room made of decaying noise.

    Args:
        sound: what is played.
        rate: sampling rate in Hz.
        seconds: reverberation time (to -60 dB).
        wet: level of the room relative to the direct sound, as a factor.
        rng: draws the room.
    """
    from scipy import signal

    count = max(1, round(seconds * rate))
    decay = 10.0 ** (-3.0 * np.arange(count) / count)
    answer = lowpass(rng.standard_normal(count) * decay, 3500.0, rate)
    answer *= wet / max(1e-9, float(np.sqrt(np.sum(np.square(answer, dtype=np.float64)))))
    tail = signal.oaconvolve(sound, answer.reshape((1,) * (sound.ndim - 1) + (-1,)), axes=-1)
    delay = round(0.012 * rate)
    result = sound.astype(np.float32, copy=True)
    result[..., delay:] += tail[..., : sound.shape[-1] - delay].astype(np.float32)
    return result


def source_hash(*modules: ModuleType) -> str:
    """Return a hash of modules' source; comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for module in modules:
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    body[0] = ast.Pass()
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()
