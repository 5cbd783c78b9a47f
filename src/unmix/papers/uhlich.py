"""Instrument extraction with layer-wise trained ReLU networks (Uhlich, Giron and Mitsufuji).

Which specs make up Tables 2 and 3 and Figure 2, and the questions that the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unmix.datasets.trios import PIECES
from unmix.models.blind import ANALYSIS, BlindNmf
from unmix.models.extraction import OUTPUTS, InstrumentNetwork
from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture, Oracle
from unmix.papers.experiment import Experiment, Row, Setting
from unmix.runs.spec import EVERY, Evaluation, Mixing, Spec
from unmix.stft import STFT

DATASET = "trios"
STANDS_IN = True
"""TRIOS has two mixtures, and its solo recordings are the authors' own: where it is not there, the
stand-in gets a training of full length too."""

METRICS = ("SDR", "SIR", "SAR")

BUDGET = "6000 L-BFGS iterations on 1,000,000 vectors"
"""How long the paper trains (600 for each of five layers, 3000 of fine tuning)."""

FIGURES: dict[str, str] = {}
"""None: Figure 2 has an experiment of its own."""

TRIOS = {piece.capitalize(): instruments for piece, instruments in PIECES.items()}


@dataclass(frozen=True)
class Size:
    """How large everything is in a profile.

    Attributes:
        rate: in Hz; the paper: 32 kHz.
        window: in samples; the paper: 1024.
        examples: training vectors.
        iterations: of L-BFGS for each of the five layers.
        fine: iterations on the complete network.
        often: training vectors of what trains many times: Figure 2, `training` and `material`.
        alone: iterations of the one layer in Figure 2 that starts without least squares.
        nmf: settings of the blind factorisations that differ from their own.
    """

    rate: int
    window: int
    examples: int
    iterations: int
    fine: int
    often: int
    alone: int
    nmf: Mapping[str, int] = field(default_factory=dict)


CLIPS = {"tiny": (6, 3, 3), "quick": (60, 6, 4), "full": (1000, 1000, 1000)}
"""Recordings and pieces of the stand-in: of each instrument of a trio there must be one to watch,
and `full` takes all that there is."""

SIZES = {
    "tiny": Size(
        rate=8000,
        window=256,
        examples=1500,
        iterations=2,
        fine=3,
        often=1500,
        alone=5,
        nmf={"rank": 9, "iterations": 20, "updates": 20, "restarts": 1},
    ),
    "quick": Size(
        rate=8000,
        window=256,
        examples=10_000,
        iterations=8,
        fine=25,
        often=5000,
        alone=120,
        nmf={"iterations": 100, "updates": 100, "restarts": 2},
    ),
    "full": Size(
        rate=32000,
        window=1024,
        examples=100_000,
        iterations=20,
        fine=100,
        often=25_000,
        alone=600,
    ),
}
"""An input has seven times as many values as a bin count, and what has fewer vectors than that is
learnt by heart: the profiles for a laptop have a lower rate instead. `full` has a tenth of the
paper's vectors and a thirtieth of its iterations: what two cores do in four hours. The experiment
`training` has the paper's own numbers, for whoever has a GPU."""

DRAWN = "Brahms"
"""Whose networks Figure 2 is drawn of; which trio's piano it means, the paper does not say."""

LAST = "fine tuning, WF"
"""The answer of the complete networks, filtered."""


def experiments(setting: Setting) -> list[Experiment]:
    """Return the paper's experiments, and our own, for a profile and its data."""
    return [
        _table2(setting),
        _table3(setting),
        _figure2(setting),
        _training(setting),
        _material(setting),
        _ranks(setting),
    ]


def base(setting: Setting, trio: str, **changes: Any) -> Spec:
    """Return the paper's configuration for a trio: a network for each of its instruments."""
    size = SIZES[setting.profile.name]
    network = InstrumentNetwork(
        examples=size.examples,
        watched=max(200, size.examples // 10),
        iterations=size.iterations,
        fine=size.fine,
    )
    return Spec(
        dataset=DATASET if setting.real else "synthetic-trios",
        split=trio.lower(),
        clips=setting.profile.clips if setting.real else CLIPS[setting.profile.name],
        separator=replace(network, **changes),
        mixing=Mixing(level="recorded", targets=TRIOS[trio]),
        stft=STFT(rate=size.rate, window=size.window, hop=size.window // 2, shape="boxcar"),
        evaluation=Evaluation(source=EVERY),
    )


def factorised(setting: Setting, trio: str, separator: Any) -> Spec:
    """Return a trio separated by a factorisation, with a transform that suits it."""
    own = base(setting, trio)
    step = ANALYSIS.rate // own.stft.rate
    stft = replace(
        ANALYSIS, rate=own.stft.rate, window=ANALYSIS.window // step, hop=ANALYSIS.hop // step
    )
    return replace(own, separator=separator, stft=stft)


def rivals(setting: Setting) -> dict[str, Any]:
    """Return the three factorisations of Table 3, and the one that the paper dropped."""
    blind = BlindNmf(**SIZES[setting.profile.name].nmf)  # type: ignore[arg-type]
    updates = {"iterations": blind.iterations, "steps": blind.iterations}
    if setting.profile.name != "full":
        updates["frames"] = 4000
    return {
        "MFCC kmeans": blind,
        "Mel NMF": replace(blind, method="mel"),
        "Shifted-NMF": replace(blind, method="shifted"),
        "Supervised NMF": ConvolutiveNmf(rank=blind.rank, lags=1, **updates),
    }


def _named(instrument: str) -> str:
    return instrument.capitalize()


def _table2(setting: Setting) -> Experiment:
    rows = []
    for trio, instruments in TRIOS.items():
        spec = base(setting, trio)
        rows += [
            Row(
                {"trio": trio, "instrument": _named(each), "output": output, "stage": stage},
                spec,
                {"source": each, "variant": f"{stage}, {output}"},
            )
            for each in instruments
            for output in OUTPUTS
            for stage in spec.separator.stages
        ]
    return Experiment(
        "table2", "Table 2: after each stage of the training", METRICS, tuple(rows), 3
    )


def _of_instruments(trio: str, methods: dict[str, Spec], variants: dict[str, str]) -> list[Row]:
    """Return the rows of a trio's instruments and of their average, by each method."""
    whose = {_named(each): {"source": each} for each in TRIOS[trio]} | {"Average": {}}
    return [
        Row(
            {"trio": trio, "instrument": name, "method": method},
            spec,
            of | ({"variant": variants[method]} if method in variants else {}),
        )
        for name, of in whose.items()
        for method, spec in methods.items()
    ]


def _table3(setting: Setting) -> Experiment:
    rows = []
    for trio in TRIOS:
        own = base(setting, trio)
        anchors = {"Mixture": Mixture(), "IRM": Oracle("irm"), "IBM": Oracle("ibm")}
        methods = {
            **{name: factorised(setting, trio, each) for name, each in rivals(setting).items()},
            "DNN with WF": own,
            **{name: replace(own, separator=each) for name, each in anchors.items()},
        }
        rows += _of_instruments(trio, methods, {"DNN with WF": LAST})
    return Experiment("table3", "Table 3: beside three factorisations", METRICS, tuple(rows), 3)


def _figure2(setting: Setting) -> Experiment:
    size = SIZES[setting.profile.name]
    few = {"examples": size.often}
    alone = few | {"layers": 1, "iterations": size.alone, "fine": 0}
    starts = {
        "Least squares": base(setting, DRAWN, **few),
        "Identity": base(setting, DRAWN, start="identity", **alone),
        "Random": base(setting, DRAWN, start="random", **alone),
    }
    rows = tuple(
        Row(
            {"instrument": _named(each), "initialisation": start, "stage": "start of 1st layer"},
            spec,
            {"finding": each},
        )
        for each in TRIOS[DRAWN]
        for start, spec in starts.items()
    )
    title = "Figure 2: the training error from three starts"
    return Experiment("figure2", title, ("J", "iterations"), rows)


def _training(setting: Setting) -> Experiment:
    size = SIZES[setting.profile.name]
    few = {"examples": size.often}
    variants: dict[str, dict[str, Any]] = {
        "as in the tables": {},
        "as in the rows below": few,
        "Adam, as many passes": few | {"optimiser": "adam"},
        "every layer from a random start": few | {"start": "random"},
        "least squares to the letter": few | {"ridge": 0.0},
        "no pauses among the vectors": few | {"pauses": False},
        "amplitudes in the filter": few | {"exponent": 1.0},
    }
    if setting.profile.name == "full":
        whole = {"examples": 1_000_000, "iterations": 600, "fine": 3000}
        variants["the paper's numbers"] = whole
    rows = []
    for name, changes in variants.items():
        spec = base(setting, DRAWN, **changes)
        keys = {"training": name, "vectors": f"{spec.separator.examples:,}"}
        rows.append(Row(keys, spec, {"variant": LAST}))
    return Experiment("training", f"{DRAWN} trained in other ways", METRICS, tuple(rows))


def _material(setting: Setting) -> Experiment:
    amounts = {"all": (), "one minute": (("trumpet", 1.0),), "10 seconds": (("trumpet", 1 / 6),)}
    few = SIZES[setting.profile.name].often
    rows = []
    for each in TRIOS["Lussier"]:
        for words, limits in amounts.items():
            spec = base(setting, "Lussier", examples=few, minutes_of=limits)
            rows += [
                Row(
                    {"instrument": _named(each), "trumpet": words, "stage": stage},
                    spec,
                    {"source": each, "variant": f"{stage}, WF"},
                )
                for stage in spec.separator.stages
            ]
    return Experiment("material", "Lussier with less trumpet", METRICS, tuple(rows))


def _ranks(setting: Setting) -> Experiment:
    rows = []
    for trio in TRIOS:
        for name, separator in rivals(setting).items():
            for rank in (separator.rank // 2, separator.rank, 2 * separator.rank):
                spec = factorised(setting, trio, replace(separator, rank=rank))
                rows.append(Row({"trio": trio, "method": name, "rank": str(rank)}, spec))
    return Experiment("ranks", "Factorisations of other ranks", METRICS, tuple(rows), seeds=3)
