"""The spec of a run: its complete settings as plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from unmix.datasets.track import ACCOMPANIMENT, PARTS
from unmix.errors import SpecError, one_of
from unmix.metrics.scores import VERSIONS
from unmix.models.separator import MASKS, describe, settings_class
from unmix.plain import digest, from_plain, later, to_plain
from unmix.stft import STFT
from unmix.training.minibatch import Training

LEVELS = ("clip", "song", "recorded")

EVERY = "every source"
"""What `Evaluation.source` says where all are scored."""

BACKENDS = ("unmix", "museval")
"""Who may compute scores: `unmix.metrics.bsseval`, or the referee."""


@dataclass(frozen=True)
class Mixing:
    """How clips are mixed, see `unmix.runs.scene`.

    Attributes:
        snr_db: of the target over the accompaniment, in dB.
        target: name of the source that is wanted; the accompaniment is the sum of the others.
        level: over what the SNR holds, the `clip` or the `song` that it is cut from; `recorded`
            leaves each source at its own level, and no SNR is looked at.
        without: sources that are left out of the mixture.
        targets: with `recorded` levels, the sources, all of which are wanted.
        channels: of the mixture; 1 takes the mean of all that a source has.
        whole: whether all clips of a song are heard as one, in their order.
    """

    snr_db: float = 0.0
    target: str = later("voice")
    level: str = later("clip")
    without: tuple[str, ...] = later(())
    targets: tuple[str, ...] = later(())
    channels: int = later(1)
    whole: bool = later(False)

    def __post_init__(self) -> None:
        if not abs(self.snr_db) <= 100.0:
            raise SpecError(f"an SNR of {self.snr_db} dB", expected="-100 to 100 dB")
        if self.channels < 1:
            raise SpecError(f"{self.channels} channels", expected="1 or more")
        if self.level not in LEVELS:
            raise SpecError(one_of("level", self.level, LEVELS), expected=", ".join(LEVELS))
        if (self.level == "recorded") != bool(self.targets):
            raise SpecError(
                f"levels by {self.level}, and the targets: {', '.join(self.targets) or 'none'}",
                expected="targets where levels are as recorded, and there only",
            )
        if self.target in (ACCOMPANIMENT, *self.without):
            raise SpecError(
                f"target '{self.target}', left out: {', '.join(self.without) or 'nothing'}",
                expected="a source of the dataset that is not left out",
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what separators find, the target first where there is one."""
        return self.targets or (self.target, ACCOMPANIMENT)


@dataclass(frozen=True)
class Evaluation:
    """How a run is scored.

    Attributes:
        version: of BSS Eval, one of `VERSIONS`.
        taps: length of the distortion filters.
        source: the source whose scores are kept, or `every source`.
        mask: which mask a network's outputs make at test, `soft` (Eq. 4) or `binary`.
        backend: who computes the scores, `unmix` or `museval`.
        rate: at which rate in Hz sounds are mixed and scored; None takes the transform's. A
            separator that works at another rate hears the mixture resampled.
        parts: which parts of the split are scored.
        also: further versions of BSS Eval to score by.
        window, hop: in seconds, of the frames whose scores are averaged over a clip; a window of 0
            scores the clip whole.
        against: a source whose accompaniment, the sum of the others, is scored as well: the two of
            them by themselves, as the campaigns do. Empty: none.
    """

    version: str = "3-sources"
    taps: int = 512
    source: str = "voice"
    mask: str = "soft"
    backend: str = later("unmix")
    rate: int | None = later(None)
    parts: tuple[str, ...] = later(("test",))
    also: tuple[str, ...] = later(())
    window: float = later(0.0)
    hop: float = later(0.0)
    against: str = later("")

    def __post_init__(self) -> None:
        for what, value, known in (
            *(("BSS Eval version", version, tuple(VERSIONS)) for version in self.versions),
            ("mask", self.mask, MASKS),
            ("backend", self.backend, BACKENDS),
        ):
            if value not in known:
                raise SpecError(one_of(what, value, known), expected=", ".join(known))
        if self.taps < 1:
            raise SpecError(f"{self.taps} taps", expected="at least 1")
        if self.rate is not None and self.rate < 1:
            raise SpecError(f"scores at {self.rate} Hz", expected="a positive rate")
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise SpecError(f"scored parts {self.parts}", expected=f"some of {', '.join(PARTS)}")
        if not (self.window == self.hop == 0.0 or 0.0 < self.hop <= self.window):
            raise SpecError(
                f"scores in frames of {self.window:g} s every {self.hop:g} s",
                expected="a hop of at most the window, or both 0 for whole clips",
            )
        if len(set(self.versions)) < len(self.versions):
            raise SpecError(
                f"BSS Eval versions {', '.join(self.versions)}", expected="each of them once"
            )

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version of BSS Eval that is scored by, the one of the tables first."""
        return (self.version, *self.also)


@dataclass(frozen=True)
class Spec:
    """Everything that decides a run's scores.

    Attributes:
        dataset: name of the dataset.
        split: name of the split.
        clips: at most so many clips of (train, valid, test); None takes all.
        separator: settings of the separator, a dataclass named in `separator.KINDS`.
        training: how a network is trained; None for separators that are not networks.
        seed: decides initial weights, order, pairings.
    """

    dataset: str
    split: str
    separator: Any
    training: Training | None = None
    clips: tuple[int, int, int] | None = None
    mixing: Mixing = field(default_factory=Mixing)
    stft: STFT = field(default_factory=STFT)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seed: int = 0

    def __post_init__(self) -> None:
        clips = self.clips
        if clips is not None and (
            len(clips) != 3 or not all(isinstance(count, int) and count > 0 for count in clips)
        ):
            raise SpecError(f"clips {clips}", expected="three positive numbers, or none")
        source, names = self.evaluation.source, self.mixing.sources
        if source not in (*names, EVERY):
            raise SpecError(one_of("source", source, names), expected=", ".join((*names, EVERY)))
        against = self.evaluation.against
        if against and (against not in names or len(names) < 3):
            raise SpecError(
                f"scores of what accompanies '{against}' among {', '.join(names)}",
                expected="one of three or more sources",
            )
        if self.seed < 0:
            raise SpecError(f"seed {self.seed}", expected="0 or more")
        if self.training and self.training.chunk * self.stft.rate < self.stft.hop:
            raise SpecError(
                f"chunks of {self.training.chunk} s", expected="at least one hop of the transform"
            )
        is_network = hasattr(self.separator, "build")
        if is_network != (self.training is not None):
            raise SpecError(
                f"a spec with separator '{describe(self.separator)}' and "
                f"{'no ' if self.training is None else ''}training",
                expected="training settings for networks, and for networks only",
            )

    def plain(self) -> dict[str, Any]:
        """Return the spec as dictionaries, lists and scalars."""
        data: dict[str, Any] = to_plain(self)
        data["separator"] = {"kind": describe(self.separator), **data["separator"]}
        return data

    @property
    def scored(self) -> tuple[str, ...]:
        """Names of the sources whose scores are kept."""
        return self.mixing.sources if self.evaluation.source == EVERY else (self.evaluation.source,)

    @property
    def rate(self) -> int:
        """Rate in Hz at which clips are mixed and scored."""
        return self.evaluation.rate or self.stft.rate

    def with_seed(self, seed: int) -> Spec:
        """Return the same spec with another seed."""
        return dataclasses.replace(self, seed=seed)

    def identity(self) -> str:
        """Return a hash over all settings."""
        return digest(self.plain())

    def family(self) -> str:
        """Return a hash over all settings but the seed: runs of one family are repetitions."""
        data = self.plain()
        del data["seed"]
        return digest(data)


def spec_from_plain(data: Any) -> Spec:
    """Rebuild a spec from `Spec.plain`.

    Raises:
        SpecError: a setting is unknown, missing or of the wrong type.
    """
    if not isinstance(data, dict) or not isinstance(data.get("separator"), dict):
        raise SpecError(f"{data!r} is no spec", expected="a dictionary with a separator")
    settings = dict(data["separator"])
    cls = settings_class(str(settings.pop("kind", "")))
    separator: Any = from_plain(cls, settings, "separator")
    return from_plain(Spec, {**data, "separator": separator}, "spec")
