"""Networks inside an EM-like iteration for stereo songs (Nugraha, Liutkus and Vincent).

Which specs make up Tables 1 and 2, and the questions that the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from unmix.datasets.track import ACCOMPANIMENT
from unmix.metrics.means import AND
from unmix.models.multichannel import MASK, SUMMED, MultichannelNetwork
from unmix.models.oracle import Mixture, Oracle
from unmix.papers.experiment import Experiment, Row, Setting
from unmix.runs.spec import EVERY, Evaluation, Mixing, Spec
from unmix.stft import STFT

DATASET = "dsd100"
ALIKE = "dsd100-like"
"""Songs of other recordings in DSD100's layout, for whoever has MedleyDB and no DSD100."""

METRICS = ("SDR", "ISR", "SIR", "SAR")

BUDGET = "at most 250 passes for each of three hidden layers of each network"
"""How long the paper trains."""

FIGURES: dict[str, str] = {}
"""None: the paper has two tables."""

SOURCES = ("vocals", "bass", "drums", "other")
AVERAGE = "average"

PARTS = {"dev": ("train", "valid"), "eval": ("test",), "full": ("train", "valid", "test")}
"""The parts of the songs as the paper calls them, and the parts of a split that they are."""

SYSTEMS = {"System I": "I", "System II": "II", "System IIIa": "IIIa", "System IIIb": "IIIb"}
"""The systems as in the tables, and as a separator calls its answers."""

LOOPS = 5
"""Iterations after each of which there is an answer."""

USUAL = 3
"""Iterations in the tables. The paper gives no number; it speaks of several after the first."""


@dataclass(frozen=True)
class Size:
    """How large everything is in a profile, or with a material.

    A second of 2048 samples of 44.1 kHz is kept: rate and window fall together. Networks have the
    paper's widths for each bin of the transform: two hidden units, four in System III, two
    components of the PCA.

    Attributes:
        rate: in Hz.
        window: in samples, twice the hop.
        iterations: passes at each depth, at most.
        learning: the first learning rate of each depth; larger where there are few passes.
        clips: at most so many songs of (train, valid, test); None takes all.
    """

    rate: int
    window: int
    iterations: int
    learning: float
    clips: tuple[int, int, int] | None = None


SIZES = {
    "tiny": Size(8000, 256, 2, 0.1, (2, 1, 2)),
    "quick": Size(8000, 256, 8, 0.1, (16, 4, 8)),
    "like": Size(22050, 1024, 25, 0.03),
    "full": Size(44100, 2048, 250, 1e-3),
}
"""By profile; `like` is `full` on the ten songs or so of `ALIKE`."""


def experiments(setting: Setting) -> list[Experiment]:
    """Return the paper's experiments, and our own, for a profile and its data."""
    return [
        _table1(setting),
        _table2(setting),
        _iterations(setting),
        _regularisation(setting),
        _worth(setting),
    ]


def base(setting: Setting, joint: bool = False) -> Spec:
    """Return a configuration of the paper: Systems I and II, or the `joint` network of III."""
    like = setting.part and setting.profile.name == "full"
    size = SIZES["like" if like else setting.profile.name]
    stft = STFT(rate=size.rate, window=size.window, hop=size.window // 2, shape="hamming")
    width = 2 * stft.bins
    network = MultichannelNetwork(
        joint=joint,
        second=not joint,
        units=2 * width if joint else width,
        components=width,
        iterations=size.iterations,
        rate=size.learning,
        times=LOOPS,
        usual=USUAL,
    )
    return Spec(
        dataset=(ALIKE if setting.part else DATASET) if setting.real else "synthetic-songs",
        split="dev-test" if setting.real else "standin",
        clips=size.clips,
        separator=network,
        mixing=Mixing(level="recorded", targets=SOURCES, channels=2, whole=True),
        stft=stft,
        evaluation=Evaluation(
            version="3-images",
            source=EVERY,
            parts=PARTS["full"],
            window=30.0,
            hop=15.0,
            against="vocals",
        ),
    )


def systems(setting: Setting) -> dict[str, Spec]:
    """Return the four systems; what belongs together comes from one run."""
    apart, joint = base(setting), base(setting, joint=True)
    return {
        name: joint if variant.startswith("III") else apart for name, variant in SYSTEMS.items()
    }


def anchors(setting: Setting) -> dict[str, Spec]:
    """Return what bounds every system: the mixture, an oracle mask, and the oracle's filter."""
    own = base(setting)
    found = {
        "Mixture": Mixture(),
        "Oracle ratio mask (IRM)": Oracle("irm"),
        "Oracle multichannel filter (MWF)": Oracle("mwf"),
    }
    return {name: replace(own, separator=each) for name, each in found.items()}


def _variant(system: str, step: int = USUAL) -> str:
    return f"{SYSTEMS[system]}, {step}"


def _table(
    setting: Setting, name: str, title: str, whose: Mapping[str, Iterable[str]]
) -> Experiment:
    """Return the rows of all systems and anchors, by source and part."""
    specs = {**systems(setting), **anchors(setting)}
    rows = tuple(
        Row(
            {"system": system, "source": source, "part": part},
            spec,
            {"source": AND.join(names), "part": AND.join(parts)}
            | ({"variant": _variant(system)} if system in SYSTEMS else {}),
        )
        for system, spec in specs.items()
        for source, names in whose.items()
        for part, parts in PARTS.items()
    )
    return Experiment(name, title, METRICS, rows, seeds=3)


def _table1(setting: Setting) -> Experiment:
    whose = {each: (each,) for each in SOURCES} | {AVERAGE: SOURCES}
    return _table(setting, "table1", "Table 1: four sources", whose)


def _table2(setting: Setting) -> Experiment:
    pair = ("vocals", ACCOMPANIMENT)
    whose = {each: (each,) for each in pair} | {AVERAGE: pair}
    return _table(setting, "table2", "Table 2: vocals and accompaniment", whose)


def _heard() -> dict[str, str]:
    """Return the sources that our own questions are about, and what each is in scores."""
    each = {name: name for name in (*SOURCES, ACCOMPANIMENT)}
    return each | {AVERAGE: AND.join(SOURCES)}


def _iterations(setting: Setting) -> Experiment:
    rows = tuple(
        Row(
            {"system": system, "source": source, "iterations": str(step)},
            spec,
            {"source": names, "part": "test", "variant": _variant(system, step)},
        )
        for system, spec in systems(setting).items()
        for source, names in _heard().items()
        for step in range(1, LOOPS + 1)
    )
    return Experiment("iterations", "One to five iterations, eval", METRICS, rows, seeds=3)


def _regularisation(setting: Setting) -> Experiment:
    spec = base(setting, joint=True)
    scales = {"by the window's sum": "", "as summed": SUMMED}
    rows = tuple(
        Row(
            {"system": system, "source": source, "spectra": words},
            spec,
            {
                "source": names,
                "part": "test",
                "variant": f"{SYSTEMS[system]}{scale}, {USUAL}",
            },
        )
        for words, scale in scales.items()
        for source, names in _heard().items()
        for system in ("System IIIa", "System IIIb")
    )
    title = "Regularisation at two scales of spectra, eval"
    return Experiment("regularisation", title, METRICS, rows, seeds=3)


def _worth(setting: Setting) -> Experiment:
    rows = tuple(
        Row(
            {"networks": networks, "source": source, "filter": words},
            spec,
            {"source": names, "part": "test", "variant": variant},
        )
        for networks, spec, system in (
            ("of System I", base(setting), "System I"),
            ("of System III", base(setting, joint=True), "System IIIb"),
        )
        for source, names in _heard().items()
        for words, variant in (("mask alone", MASK), ("multichannel", _variant(system)))
    )
    title = "What the spatial model is worth, eval"
    return Experiment("worth", title, METRICS, rows, seeds=3)
