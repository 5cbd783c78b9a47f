"""DRDNN, its variants and its baselines on DSD100 (Li, Wang, Zhao, Li and Guo).

Which specs make up Table 1 and Figures 6 to 8, and the questions that the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from unmix.models.decoupling import DecouplingNetwork
from unmix.models.oracle import Mixture, Oracle
from unmix.papers.experiment import Experiment, Row, Setting
from unmix.runs.spec import EVERY, Evaluation, Mixing, Spec
from unmix.stft import STFT
from unmix.training.minibatch import Training

DATASET = "dsd100"
ALIKE = "dsd100-like"
"""Songs of other recordings in DSD100's layout, for whoever has MedleyDB and no DSD100."""

METRICS = ("SIR", "SDR", "SAR")

BUDGET = "3,000 iterations, of how many patches is not given"
"""How long the paper trains."""

FIGURES: dict[str, str] = {}
"""None: Figures 4 and 5 show one song, in a notebook of their own."""

SOURCES = {"Vocal": "vocals", "Bass": "bass", "Drum": "drums", "Other": "other"}
"""The sources as the paper's table names them, and as the dataset does."""

ALL = "all"
"""The mean over the sources, in the key column of a source."""

READINGS = {"sources": "3-sources", "images": "3-images"}
"""BSS Eval's two decompositions: the paper writes down the first (Eq. 12) and names neither."""

BASELINES = {"MLP": "mlp", "DCNN": "dcnn", "DRNN": "drnn"}


@dataclass(frozen=True)
class Size:
    """How large everything is in a profile, or with a material.

    Attributes:
        rate: in Hz; the paper does not say, and its Figure 4 ends at 8 kHz.
        window: in samples, four times the hop; the paper: 1024.
        maps: filters of a convolution.
        cells: of an LSTM in each direction.
        epochs: passes over the training part.
        batch: patches a step.
    """

    rate: int
    window: int
    maps: int
    cells: int
    epochs: int
    batch: int


SIZES = {
    "tiny": Size(8000, 256, 2, 8, 2, 16),
    "quick": Size(8000, 512, 3, 32, 5, 8),
    "like": Size(16000, 1024, 4, 128, 10, 8),
    "full": Size(16000, 1024, 16, 256, 30, 64),
}
"""By profile; `like` is `full` on the ten songs or so of `ALIKE`."""

ROUNDS = {"like": "rounds-of-5", "full": "rounds-of-10"}
"""Ten rounds of ten songs in the paper. Of a few songs five rounds leave two or more to test."""


def experiments(setting: Setting) -> list[Experiment]:
    """Return the paper's experiments, and our own, for a profile and its data."""
    return [
        _table1(setting),
        _readings(setting),
        _figure6(setting),
        _figure7(setting),
        _figure8(setting),
        _choices(setting),
    ]


def _kind(setting: Setting) -> str:
    return "like" if setting.part and setting.profile.name == "full" else setting.profile.name


def base(setting: Setting, **changes: Any) -> Spec:
    """Return the paper's configuration: one network for the four sources, behind a soft mask."""
    kind = _kind(setting)
    size = SIZES[kind]
    stft = STFT(rate=size.rate, window=size.window, hop=size.window // 4, shape="blackmanharris")
    network = DecouplingNetwork(bins=stft.bins, maps=size.maps, cells=size.cells, start="dirac")
    split = "standin"
    if setting.real:
        split = ROUNDS.get(kind, "round-1-of-5" if setting.part else "round-1-of-10")
    return Spec(
        dataset=(ALIKE if setting.part else DATASET) if setting.real else "synthetic-songs",
        split=split,
        clips=setting.profile.clips,
        separator=replace(network, **changes),
        training=Training(
            epochs=size.epochs,
            patience=size.epochs,
            batch=size.batch,
            chunk=network.frames * stft.hop / stft.rate,
            schedule="cosine",
        ),
        mixing=Mixing(level="recorded", targets=tuple(SOURCES.values())),
        stft=stft,
        evaluation=Evaluation(source=EVERY, also=tuple(READINGS.values())[1:]),
    )


def systems(setting: Setting, mask: bool = True) -> dict[str, Spec]:
    """Return the four systems of Table 1, of as many weights as DRDNN has."""
    own = base(setting, mask=mask)
    network: DecouplingNetwork = own.separator
    rivals = {name: replace(own, separator=network.like(kind)) for name, kind in BASELINES.items()}
    return {**rivals, "DRDNN": own}


def anchors(setting: Setting) -> dict[str, Spec]:
    """Return what bounds every system: the mixture, and the oracle of their mask."""
    own = base(setting)
    found = {"Mixture": Mixture(), "Oracle ratio mask (IRM)": Oracle("irm")}
    return {name: replace(own, separator=each, training=None) for name, each in found.items()}


def _rows(specs: Mapping[str, Spec], key: str = "system") -> tuple[Row, ...]:
    """Return a row for each source and for all of them, by each spec."""
    each = [(source, {"source": of}) for source, of in SOURCES.items()]
    return tuple(
        Row({key: name, "source": source}, spec, of)
        for source, of in [*each, (ALL, {})]
        for name, spec in specs.items()
    )


def _table1(setting: Setting) -> Experiment:
    rows = _rows({**systems(setting), **anchors(setting)})
    return Experiment("table1", "Table 1: four systems, four sources", METRICS, rows, seeds=3)


def _readings(setting: Setting) -> Experiment:
    rows = tuple(
        Row(
            {"system": name, "source": source, "reading": reading},
            spec,
            {"source": of, "version": version},
        )
        for source, of in SOURCES.items()
        for name, spec in systems(setting).items()
        for reading, version in READINGS.items()
    )
    title = "Table 1 by both readings of its scores"
    return Experiment("readings", title, ("SDR", "SIR", "SAR", "ISR"), rows, seeds=3)


def variants(setting: Setting) -> dict[str, Spec]:
    """Return DRDNN without its perceptrons, whole, and without its convolutions."""
    own = base(setting)
    network: DecouplingNetwork = own.separator
    return {
        "DRDNN-wDCP": base(setting, layers=0),
        "DRDNN": own,
        "DRDNN-wDR": replace(own, separator=network.without_convolutions()),
    }


def _figure6(setting: Setting) -> Experiment:
    title = "Figure 6: without decoupling, without dimension reduction"
    metrics = (*METRICS, "training time")
    return Experiment("figure6", title, metrics, _rows(variants(setting)), seeds=3)


def _figure7(setting: Setting) -> Experiment:
    found = variants(setting)
    rows = tuple(Row({"system": name}, found[name]) for name in ("DRDNN-wDCP", "DRDNN"))
    title = "Figure 7: the training loss with and without decoupling"
    return Experiment("figure7", title, ("training loss",), rows, seeds=3)


def _figure8(setting: Setting) -> Experiment:
    found: dict[str, Spec] = {}
    for suffix, mask in (("Mask", True), ("noMask", False)):
        found |= {f"{name}-{suffix}": spec for name, spec in systems(setting, mask).items()}
    return Experiment("figure8", "Figure 8: with and without the mask", METRICS, _rows(found))


def _choices(setting: Setting) -> Experiment:
    own = base(setting)
    assert own.training is not None
    found = {
        "as in the tables": own,
        "filters drawn at random": base(setting, start="normal"),
        "one state a patch": base(setting, unroll="last"),
        "discriminative, 0.05": base(setting, beta=0.05),
        "songs not mixed anew": replace(own, training=replace(own.training, augmentation=False)),
    }
    title = "What the paper leaves open"
    if setting.profile.name == "full":
        found["discriminative, 0.2"] = base(setting, beta=0.2)
    return Experiment("choices", title, METRICS, _rows(found, "choice"))
