"""Sound files in and out, resampling, level, and mixing at a signal-to-noise ratio.

Arrays of sound have the shape `(channels, samples)` everywhere. The level convention is stated
once, here: **each source of a clip is brought to an RMS of `LEVEL` over the whole clip, then the
target is raised by the SNR**, so the accompaniment always stands at `LEVEL` and the target at
`LEVEL * 10 ** (snr_db / 20)`. BSS Eval does not depend on levels; networks and listeners do.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unmix.errors import AudioError

LEVEL = 0.05
"""RMS of a source before mixing (-26 dB relative to full scale; leaves room for the peaks)."""


def read(
    path: str | os.PathLike,
    *,
    rate: int | None = None,
    channels: int | None = None,
    allow_silence: bool = False,
) -> tuple[np.ndarray, int]:
    """Read a sound file.

    Args:
        path: a file in any format that libsndfile reads (WAV, FLAC, Ogg, MP3, ...).
        rate: the sampling rate in Hz that the file must have; None takes any.
        channels: the number of channels that the file must have; None takes any.
        allow_silence: whether a file of zeros is acceptable.

    Returns:
        float32 samples of shape `(channels, samples)`, and the rate in Hz.

    Raises:
        AudioError: the file is missing, empty, truncated, not sound, silent, holds NaN or
            infinity, or has another rate or number of channels than asked for.
    """
    import soundfile

    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path}: is a folder", expected="a sound file")
    if not path.is_file():
        raise AudioError(f"{path}: no such file", do="check the name and the folder")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the file is empty (0 bytes)", do="copy or fetch it anew")
    try:
        with _quiet_decoders():
            info = soundfile.info(str(path))
            data, found_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".") or "unreadable"
        if "does not exist" in reason:  # so libsndfile where its MP3 decoder gives up
            reason = "it holds nothing of the kind that its name promises"
        raise AudioError(
            f"{path}: cannot be read as sound ({reason})",
            expected="a WAV, FLAC, Ogg or MP3 file",
            do="fetch or convert it anew; it may be cut short",
        ) from error
    missing = max(info.frames - len(data), _missing_wav_frames(path))
    if missing > 0:
        raise AudioError(
            f"{path}: truncated, {len(data)} frames found where the header promises "
            f"{len(data) + missing}",
            do="copy or fetch the file anew",
        )
    _check(path, data, found_rate, rate, channels, allow_silence)
    return np.ascontiguousarray(data.T), found_rate


def header(path: Path) -> tuple[int, int]:
    """Return the number of frames of a sound file and its rate in Hz, from its header alone.

    Raises:
        AudioError: it cannot be read.
    """
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".") or "unreadable"
        raise AudioError(
            f"{path}: cannot be read as sound ({reason})", do="copy or convert the file anew"
        ) from error
    return info.frames, info.samplerate


@contextlib.contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Hold back what decoders write to standard error, past Python (the one of MP3 does).

    What they complain of reaches the caller as an exception, or as samples that `_check` refuses.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # there may be no standard error
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            with open(os.devnull, "wb") as sink:
                os.dup2(sink.fileno(), 2)
        yield


def _check(
    path: Path,
    data: np.ndarray,
    found_rate: int,
    rate: int | None,
    channels: int | None,
    allow_silence: bool,
) -> None:
    if len(data) == 0:
        raise AudioError(f"{path}: holds no samples", do="copy or fetch the file anew")
    if channels is not None and data.shape[1] != channels:
        raise AudioError(
            f"{path}: has {data.shape[1]} channel(s)",
            expected=f"{channels} channels",
            do="use the original file, not a mixdown",
        )
    if rate is not None and found_rate != rate:
        raise AudioError(
            f"{path}: is sampled at {found_rate} Hz",
            expected=f"{rate} Hz",
            do="use the dataset's own files, or resample this one",
        )
    if not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise AudioError(
            f"{path}: {bad} of {data.size} samples are NaN or infinite",
            expected="finite samples",
            do="render or fetch the file anew",
        )
    if not allow_silence and not data.any():
        raise AudioError(
            f"{path}: is silent throughout",
            expected="sound",
            do="check the recording; a silent file can be neither separated nor scored",
        )


def _missing_wav_frames(path: Path) -> int:
    """Return how many frames a RIFF file's data chunk promises beyond the end of the file.

    libsndfile shortens such files without a word, so a half-copied clip would pass.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        block = 1
        while len(chunk := file.read(8)) == 8:
            name, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if name == b"fmt ":
                body = file.read(length)
                block = max(1, struct.unpack("<H", body[12:14])[0]) if len(body) >= 14 else 1
                file.seek(length % 2, os.SEEK_CUR)
            elif name == b"data":
                # Streams of unknown length carry the largest number there is.
                return 0 if length >= 0xFFFFFF00 else max(0, file.tell() + length - size) // block
            else:
                file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def write(path: str | os.PathLike, sound: np.ndarray, rate: int) -> None:
    """Write `sound` (`(channels, samples)`) at `rate` Hz, complete or not at all.

    The ending of `path` decides the format. Peaks beyond full scale are brought down together
    (never clipped), which keeps the proportions between channels.

    Raises:
        AudioError: the samples are not finite, or the disk does not take the file.
    """
    import soundfile

    path = Path(path)
    sound = np.atleast_2d(np.asarray(sound, dtype=np.float32))
    if not np.isfinite(sound).all():
        raise AudioError(f"{path}: refuses to write samples that are NaN or infinite")
    peak = float(np.abs(sound).max(initial=0.0))
    if peak > 1.0:
        sound = sound * np.float32(0.999 / peak)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(str(beside), sound.T, rate)
        os.replace(beside, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(
            f"{path}: could not be written ({error})", do="free some disk space or choose --out"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def resample(sound: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """Resample `(channels, samples)` from `rate` to `to_rate` Hz (soxr, quality VHQ)."""
    if rate == to_rate:
        return sound
    import soxr

    return np.ascontiguousarray(soxr.resample(sound.T, rate, to_rate, quality="VHQ").T)


def rms(sound: np.ndarray) -> float:
    """Return the root mean square over all channels and samples."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def at_level(sound: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return `sound` scaled to an RMS of `level`.

    Raises:
        AudioError: the sound is silent, so no factor exists.
    """
    found = rms(sound)
    if not found > 0.0:
        raise AudioError("a silent sound cannot be brought to a level", expected="sound")
    return (sound * (level / found)).astype(np.float32)


def mix(target: np.ndarray, accompaniment: np.ndarray, snr_db: float) -> tuple[np.ndarray, ...]:
    """Mix at an SNR: the target's energy over the accompaniment's, in dB, over the whole clip.

    Both arrays have the shape `(channels, samples)`.

    Returns:
        the mixture, and the target and accompaniment as they stand in it.
    """
    if target.shape != accompaniment.shape:
        raise AudioError(
            f"target of shape {target.shape} and accompaniment of shape {accompaniment.shape}",
            expected="equal shapes (channels, samples)",
        )
    raised = at_level(target, LEVEL * 10.0 ** (snr_db / 20.0))
    below = at_level(accompaniment)
    return raised + below, raised, below
