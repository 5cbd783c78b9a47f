"""Printed facts against what can be looked up: a dataset's counts, a window's side lobes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unmix.errors import UnmixError
from unmix.verdicts.checks import equations
from unmix.verdicts.checks.groups import (
    UNTOLD,
    Entry,
    Group,
    Judgement,
    Term,
    either,
)
from unmix.verdicts.checks.numbers import Approx, exact, meet

INDEX = "the list of files that the package has of the dataset"
FILES = "the files of the dataset"


def dataset_counts(paper: str, entry: Entry) -> Iterator[Group]:
    """Printed counts are those of the dataset itself.

    The source is the package's list of the dataset's files with their lengths, or the files
    themselves, where there are any; without them it cannot be told. Lengths are held against the
    printed digits.
    """
    from_files = entry.get("source", "index") == "files"
    facts = _mir1k_files() if from_files else mir1k_index()
    for name, operand in entry["facts"].items():
        terms: list[Term] = []
        formula = equations.compiled(paper, operand, terms)
        yield Group(
            name,
            tuple(terms),
            lambda numbers, f=formula, name=name: _fact(f(numbers), facts, name, from_files),  # type: ignore[misc]
        )


def _fact(
    printed: Approx, facts: Mapping[str, float] | None, name: str, from_files: bool
) -> Judgement:
    source = FILES if from_files else INDEX
    if facts is None:
        words = "The files of the dataset are not here; UNMIX_DATA may name the folder above them."
        return Judgement(UNTOLD, "nothing", printed.value, None, words)
    if name not in facts:
        words = f"The source, {source}, does not have it."
        return Judgement(UNTOLD, "nothing", printed.value, None, words)
    found = exact(facts[name])
    tolerance = printed.tolerance or None
    words = f"Source: {source}."
    return Judgement(either(meet(found, printed)), found.value, printed.value, tolerance, words)


def mir1k_index() -> dict[str, float]:
    """Return what the package's list of MIR-1K's files says of the dataset; lengths in seconds."""
    from unmix.datasets import mir1k

    seconds = [frames / mir1k.RATE for _, _, frames in mir1k.index().values()]
    return {**_named(list(mir1k.index())), **_lengths(seconds), "kHz": mir1k.RATE / 1000}


def _mir1k_files() -> dict[str, float] | None:
    """Return the same from the files under $UNMIX_DATA; None if they are not there.

    The sampling rate is left out: packed copies have another than the originals.
    """
    import os

    import soundfile

    from unmix.datasets import mir1k

    try:
        paths = mir1k.find_files(os.environ.get("UNMIX_DATA", "data"))
        seconds = [soundfile.info(str(path)).duration for path in paths.values()]
    except (UnmixError, OSError, soundfile.SoundFileError):
        return None
    return {**_named(list(paths)), **_lengths(seconds)}


def _named(clips: Sequence[str]) -> dict[str, float]:
    from unmix.datasets import mir1k

    return {
        "clips": float(len(clips)),
        "songs": float(len({mir1k.song_of(name) for name in clips})),
        "singers": float(len({mir1k.singer_of(name) for name in clips})),
    }


def _lengths(seconds: Sequence[float]) -> dict[str, float]:
    return {"shortest": min(seconds), "longest": max(seconds)}


def side_lobes(paper: str, entry: Entry) -> Iterator[Group]:
    """The highest side lobe of a window's spectrum, in dB below its main lobe, against others'.

    The spectrum is that of a window of 1024 samples on a grid 64 times as fine as its own bins;
    the side lobes begin behind the first minimum.
    """
    own = highest_side_lobe(entry["window"])
    for other in entry["against"]:
        level = highest_side_lobe(other)
        holds = own > level if entry["is"] == "higher" else own < level
        found = Judgement(either(holds), own, f"{entry['is']} than {level:.1f} dB", None)
        yield Group(f"{entry['window']} and {other}", (), lambda numbers, f=found: f)  # type: ignore[misc]


def highest_side_lobe(window: str) -> float:
    """Return the level of a window's highest side lobe in dB relative to its main lobe.

    Raises:
        SpecError: scipy knows no such window.
    """
    import numpy as np
    from scipy.signal import get_window

    from unmix.errors import SpecError

    samples = 1024
    try:
        shape = get_window(window, samples, fftbins=False)
    except ValueError as error:
        raise SpecError(
            f"unknown window '{window}'", expected="a name that scipy.signal.get_window takes"
        ) from error
    spectrum = np.abs(np.fft.rfft(shape, 64 * samples))
    behind = int(np.argmax(np.diff(spectrum) > 0))
    return float(20 * np.log10(spectrum[behind:].max() / spectrum[0]))
