"""Separating a file from outside any dataset with a stored system."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.errors import AudioError, SpecError, UnmixError, one_of
from unmix.models.blocks import StreamingSeparator
from unmix.models.separator import Separator
from unmix.papers.evidence import MATERIAL, Evidence, setting, taught
from unmix.papers.experiment import PAPERS, Row, experiments
from unmix.report.drawings import variant as variant_of
from unmix.report.player import slug
from unmix.report.workbook import Workbook
from unmix.runs.execute import is_usual, restore
from unmix.runs.spec import Spec
from unmix.runs.store import Run

Root = str | os.PathLike | None

FULL_SCALE = 0.999
"""Highest peak that is written."""

STEP = 2.0**-15
"""A step of the 16-bit files that are written."""

CANCELLING = 10.0**0.15
"""By so much (1.5 dB) the energy of all estimates together may exceed the mixture's without a word:
that of sources which have nothing to do with each other is about the same."""


@dataclass(frozen=True)
class Separation:
    """What separating a file gave: the files of the estimates, and how they came about.

    Attributes:
        paths: of the estimates.
        network: which separator it was.
        gain: by which all estimates were scaled.
        excess: energy of all estimates together over the mixture's.
        together: whether the channels were heard together.
    """

    paths: tuple[Path, ...]
    network: str
    gain: float
    excess: float
    together: bool

    def lines(self) -> list[str]:
        """Return it as text."""
        scaled = (
            f"all estimates scaled by {self.gain:.3f} ({20 * math.log10(self.gain):.1f} dB), "
            "so that none clips"
        ).replace("(-", "(−")
        return [
            f"separated by {self.network}",
            *([scaled] if self.gain < 1.0 else []),
            *([self._cancelling()] if self.excess > CANCELLING else []),
            *(f"wrote {path}" for path in self.paths),
        ]

    def _cancelling(self) -> str:
        why = (
            ". So it is where the channels are the same but for rounding: make them the same, "
            "or choose a system that minds it less (of nugraha: System IIIb)"
        )
        return (
            f"note: the estimates together have {10 * math.log10(self.excess):.1f} dB more energy "
            "than the mixture: they are too loud, or in part cancel each other"
            f"{why if self.together else ''}"
        )


def row_name(row: Row) -> str:
    """Return the last part of a system's name."""
    return slug(" ".join(row.keys.values()))


def works_alone(row: Row) -> bool:
    """Return whether a row's separator can work on a file whose sources nobody knows."""
    return not getattr(row.spec.separator, "needs_references", False)


def systems(profile: str, store: Root, data_root: Root, only: str = "") -> list[str]:
    """Return a line for each of a profile's systems for files, marked where it is not stored.

    Of an experiment's rows that share a separator, and its answer, one stands for all.

    Args:
        profile: whose systems.
        store: where they lie.
        data_root: folder with datasets.
        only: a paper; empty takes all.

    Raises:
        SpecError: there is no such paper.
    """
    lines = []
    for paper in [only] if only else PAPERS:
        book = Workbook(paper, profile=profile, store=store or "", data_root=data_root or "")
        for name in experiments(paper, book.setting):
            for label, item in named(book.evidence(name, best=False)).items():
                spec = item.row.spec
                missing = "" if item.runs else f" (not stored: {book.command('run', name)})"
                sounds = f"{spec.stft.rate} Hz, {' and '.join(spec.mixing.sources)}"
                if works_alone(item.row):
                    lines.append(f"{paper}/{name}/{label}   {sounds}{missing}")
    return lines


def named(rows: Sequence[Evidence]) -> dict[str, Evidence]:
    """Return an experiment's separators, and answers of them, by name.

    Rows of one separator differ in which source or part is scored, which means nothing to who has
    a file: its name is made of what they share.
    """
    groups: dict[tuple[Spec, str], list[Evidence]] = {}
    for item in rows:
        if "finding" not in item.row.of:
            groups.setdefault((item.row.spec, variant_of(item)), []).append(item)
    shared = [
        [value for key, value in group[0].row.keys.items() if _same(group, key)]
        for group in groups.values()
    ]
    found: dict[str, Evidence] = {}
    for values, group in zip(shared, groups.values(), strict=True):
        alone = values and shared.count(values) == 1
        found[slug(" ".join(values)) if alone else row_name(group[-1].row)] = group[-1]
    return found


def _same(group: Sequence[Evidence], key: str) -> bool:
    return len({item.row.keys[key] for item in group}) == 1


def separate_file(
    file: Path, system: str, out: Path, profile: str, store: Root, data_root: Root
) -> Separation:
    """Separate `file` and write an estimate of each source into `out`.

    Peaks beyond full scale bring down all estimates by one factor, so that they still add up to
    the mixture in their proportions.

    Raises:
        AudioError: the file cannot be read, is too short or has other channels than the system
            separates together, or an estimate cannot be written.
        SpecError: there is no such system, or it cannot separate without references.
        UnmixError: the system is not in the store.
    """
    sound, rate = audio.read(file)
    row, run = _stored(system, profile, store, data_root)
    spec = run.spec()
    mixture = audio.resample(sound, rate, spec.stft.rate).astype(np.float32, copy=False)
    if not mixture.shape[1]:
        raise AudioError(
            f"{file}: {sound.shape[1]} samples at {rate} Hz, none at {spec.stft.rate} Hz",
            expected="a longer recording",
        )
    loudest = float(max(mixture.max(), -mixture.min()))
    if loudest < STEP:
        raise AudioError(
            f"{file}: a peak of {loudest:.1g}, less than a step of the 16-bit files that are made",
            expected="a recording that is louder",
            do="raise its level, e.g. to a peak of 0.5",
        )
    together = spec.mixing.channels
    if len(mixture) != together > 1:
        raise AudioError(
            f"{file}: {len(mixture)} channel{'s' * (len(mixture) != 1)}",
            expected=f"{together} channels, which {system} separates together",
            do="bring the recording in stereo, or choose a system that takes channels one by one",
        )
    del sound
    separator = restore(spec, run.weights)
    variant = row.of.get("variant", "")
    if together > 1:
        estimates = _together(separator, mixture, variant)
    else:
        estimates = _estimates(separator, mixture, spec.mixing.sources, variant)
    energy = sum(float(np.vdot(each, each)) for each in estimates.values())
    excess = energy / float(np.vdot(mixture, mixture))
    peak = max(float(max(estimate.max(), -estimate.min())) for estimate in estimates.values())
    gain = FULL_SCALE / peak if peak > 1.0 else 1.0
    paths = []
    for source, estimate in estimates.items():
        path = out / f"{file.stem}.{source}.wav"
        estimate *= np.float32(gain)
        audio.write(path, estimate, spec.stft.rate)
        paths.append(path)
    return Separation(tuple(paths), _described(system, run), gain, excess, together > 1)


def _together(separator: Separator, mixture: np.ndarray, variant: str) -> dict[str, np.ndarray]:
    """Return the estimates of a mixture `(channels, samples)`, all channels heard at once."""
    if is_usual(separator, variant):
        return separator.separate(mixture)
    return separator.answers(mixture)[variant]  # type: ignore[attr-defined,no-any-return]


def _estimates(
    separator: Separator, mixture: np.ndarray, sources: Sequence[str], variant: str
) -> dict[str, np.ndarray]:
    """Return the estimates of a mixture `(channels, samples)`, each channel by itself.

    They are filled in as they come; beside them and the mixture no memory grows with the sound,
    but with factorisations and with variants that are not the usual one, which take a channel at
    once.
    """
    estimates = {source: np.zeros_like(mixture) for source in sources}
    for number, channel in enumerate(mixture):
        # A silent channel beside a sounding one has silent sources.
        if channel.any():
            for source, first, piece in _pieces(separator, channel[None], variant):
                estimates[source][number, first : first + len(piece)] = piece
    return estimates


def _pieces(
    separator: Separator, channel: np.ndarray, variant: str
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield source, first sample and estimate `(samples,)` of a channel `(1, samples)`."""
    if not is_usual(separator, variant):
        for source, estimate in separator.answers(channel)[variant].items():  # type: ignore[attr-defined]
            yield source, 0, estimate[0]
    elif isinstance(separator, StreamingSeparator):
        for first, rows in separator.stream(channel):
            for source, row in zip(separator.sources, rows, strict=True):
                yield source, first, row
    else:
        for source, estimate in separator.separate(channel).items():
            yield source, 0, estimate[0]


def _described(system: str, run: Run) -> str:
    """Return which separator a run is: its name, what it learnt from, its rate and its key."""
    spec, made = run.spec(), run.provenance()
    material = f"{spec.dataset} ({MATERIAL[made['fidelity']]})"
    count = taught(run.settings(), made["clips"])
    learnt = f"trained on {count} clip{'s' * (count != 1)} of {material}"
    return (
        f"{system}, {learnt if run.weights.exists() else 'which learns nothing'}, "
        f"{spec.stft.rate} Hz, run {run.key[:12]}"
    )


def _stored(system: str, profile: str, store: Root, data_root: Root) -> tuple[Row, Run]:
    paper, _, rest = system.partition("/")
    name, _, row = rest.partition("/")
    if not row:
        raise SpecError(
            f"'{system}' names no system",
            expected="PAPER/EXPERIMENT/ROW, e.g. parwal/table4/3-rnn-mse",
            do="`unmix separate --system list` lists them",
        )
    known = experiments(paper, setting(paper, profile, data_root))
    if name not in known:
        raise SpecError(one_of("experiment", name, known), expected=", ".join(known))
    book = Workbook(paper, profile=profile, store=store or "", data_root=data_root or "")
    rows = book.evidence(name, best=False)
    offered = named(rows)
    alone = [label for label, item in offered.items() if works_alone(item.row)]
    # A row's whole name will do as well.
    found = {row_name(item.row): item for item in rows} | offered
    if row in found and row not in alone:
        raise SpecError(
            f"{system} needs the true sources, which a file from outside a dataset does not have",
            expected=f"a system that works without them: {', '.join(alone)}",
        )
    if row not in found:
        raise SpecError(one_of("system", row, alone), expected=", ".join(alone))
    if not found[row].runs:
        raise UnmixError(
            f"{system} is not trained under profile {profile} (store {book.store.root})",
            do=f"run `{book.command('run', name)}` first",
        )
    return found[row].row, found[row].runs[0]
