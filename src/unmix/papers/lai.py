"""Electric guitar and drums from MedleyDB with stacked GRU networks (Lai and Wang).

Which specs make up Tables 2 and 3 and Figure 4, and the questions that the paper leaves open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unmix.models.hourglass import StackedHourglass
from unmix.models.oracle import Mixture, Oracle
from unmix.models.recurrent import RecurrentNetwork
from unmix.models.waveunet import WaveUNet
from unmix.papers.experiment import Experiment, Row, Setting
from unmix.runs.spec import Evaluation, Mixing, Spec
from unmix.stft import STFT
from unmix.training.minibatch import Training

DATASET = "medleydb"
SUBSET = "musicdelta"
"""Its 13 songs can be had, and heard in half an hour, where the paper's 49 cannot."""

PLAIN = ("SDR", "SIR", "SAR", "NSDR")
METRICS = (*PLAIN, "GSDR", "GSIR", "GSAR", "GNSDR")

BUDGET = "number of epochs and batch size not given"
"""How long the paper trains."""

FIGURES: dict[str, str] = {}
"""None: Figure 4 stands in the notebook of Table 3, whose clips it shows."""

TARGETS = ("guitar", "drums")

RATE = {"tiny": 8000, "quick": 16000, "full": 44100}
"""At which clips are mixed and scored; the paper: 44.1 kHz."""

EPOCHS = {"tiny": 2, "quick": 6, "full": 20}
"""Passes over the training part, the same for every system of a table."""

QUICK_CLIPS = (16, 5, 8)
"""Clips of 20 s are five times as long as those of parwal: a quarter of them must do."""

LEARNING = {"tiny": 1e-3, "quick": 1e-3, "full": 3e-4}
"""Adam's learning rate. At 0.001 three layers of 1000 cells had learnt in 20 passes over the guitar
what they learn at 0.0003 in one (validation loss 0.252 and 0.251); narrow networks want more."""

CHUNK = 1.0
"""Seconds that a recurrent network hears at a time while it trains. The time of a step goes by the
frames of a chunk, one after the other, and hardly by how many chunks stand side by side."""

STEP = 8.0
"""Seconds of sound in a step of the optimiser, the same for every system."""

HOURGLASS_EPOCHS = 10
"""Passes of SH-4stack over MusicDelta: each takes a CPU ten times as long as any other system's,
and with as many as theirs the two targets would take six hours. Over all of MedleyDB, which wants
a GPU anyway, it gets as many as the others."""

ANCHORS = {
    "Mixture": Mixture(),
    "Oracle ratio mask (IRM)": Oracle("irm"),
    "Oracle binary mask (IBM)": Oracle("ibm"),
}


def experiments(setting: Setting) -> list[Experiment]:
    """Return the paper's experiments, and our own, for a profile and its data."""
    return [_table2(setting), _table3(setting), _recipes(setting), _choices(setting)]


def base(setting: Setting, target: str) -> Spec:
    """Return the paper's configuration for a target: three layers of GRU cells, and its mask."""
    name = setting.profile.name
    rate, epochs = RATE[name], EPOCHS[name]
    window = 1024 if rate > 20000 else 512
    split = "standin" if not setting.real else SUBSET if setting.part else "paper"
    return Spec(
        dataset=DATASET if setting.real else "synthetic-band",
        split=split,
        clips=QUICK_CLIPS if name == "quick" else setting.profile.clips,
        separator=stacked(setting, 3, 1000),
        training=Training(
            epochs=epochs,
            patience=epochs,
            rate=LEARNING[name],
            schedule="cosine",
            **steps(CHUNK),
        ),
        mixing=Mixing(target=target),
        stft=STFT(rate=rate, window=window, hop=window // 2),
        evaluation=Evaluation(source=target, parts=("train", "test")),
    )


def steps(chunk: float) -> dict[str, Any]:
    """Return the settings of a training with chunks of so many seconds."""
    return {"chunk": chunk, "batch": round(STEP / chunk)}


def stacked(setting: Setting, layers: int, cells: int, cell: str = "gru") -> RecurrentNetwork:
    """Return the paper's network; an eighth as wide in the profiles for a laptop."""
    width = cells if setting.profile.name == "full" else cells // 8
    return RecurrentNetwork(cell, layers, width, context=1, output="relu")


def systems(setting: Setting, target: str) -> dict[str, Spec]:
    """Return the four systems of Table 3 under one recipe, and the anchors."""
    own = base(setting, target)
    return {
        "Wave-U-Net": _waveunet(setting, own),
        "SH-4stack": _hourglass(setting, own),
        "Simple RNN": replace(own, separator=replace(stacked(setting, 1, 1000), cell="relu")),
        "Proposed": own,
        **{name: replace(own, separator=anchor, training=None) for name, anchor in ANCHORS.items()},
    }


def _trained(spec: Spec, **changes: Any) -> Training:
    assert spec.training is not None
    return replace(spec.training, **changes)


def _waveunet(setting: Setting, own: Spec) -> Spec:
    full = setting.profile.name == "full"
    network = WaveUNet() if full else WaveUNet(levels=7, filters=6, samples=8192)
    rate = 22050 if full else RATE[setting.profile.name]
    return replace(
        own,
        separator=network,
        stft=replace(own.stft, rate=rate),
        training=_trained(own, **steps(network.samples / rate)),
        evaluation=replace(own.evaluation, rate=own.stft.rate),
    )


def _hourglass(setting: Setting, own: Spec) -> Spec:
    full = setting.profile.name == "full"
    small = StackedHourglass(stacks=2, depth=3, features=16, stem=(8, 16))
    network = StackedHourglass() if full else small
    transform = STFT(rate=8000, window=1024, hop=256)
    training = _trained(
        own, precision="bfloat16", **steps(network.frames * transform.hop / transform.rate)
    )
    if full and setting.part:
        training = replace(training, epochs=HOURGLASS_EPOCHS, patience=HOURGLASS_EPOCHS)
    return replace(
        own,
        separator=network,
        stft=transform,
        training=training,
        evaluation=replace(own.evaluation, rate=own.stft.rate),
    )


def _table2(setting: Setting) -> Experiment:
    own = base(setting, "guitar")
    sizes = ((3, 500), (3, 1000), (4, 500))
    rows = tuple(
        Row(
            {"network": f"{layers} layers ({cells} cells)"},
            replace(own, separator=stacked(setting, layers, cells)),
        )
        for layers, cells in sizes
    )
    anchors = tuple(Row({"network": name}, systems(setting, "guitar")[name]) for name in ANCHORS)
    return Experiment("table2", "Table 2: size of the network", PLAIN, rows + anchors, seeds=3)


def _table3(setting: Setting) -> Experiment:
    rows = tuple(
        Row({"instrument": target, "part": part, "method": name}, spec, {"part": part})
        for target in TARGETS
        for part in ("train", "test")
        for name, spec in systems(setting, target).items()
    )
    return Experiment("table3", "Table 3: four systems, two instruments", METRICS, rows, seeds=3)


def _tested(spec: Spec) -> Spec:
    """Return a spec that scores the test clips alone."""
    return replace(spec, evaluation=replace(spec.evaluation, parts=("test",)))


def _own_recipe(shared: Spec, setting: Setting) -> Spec:
    """Return a rival trained as its authors say, in as many passes as this profile has.

    Theirs are 2,000 steps an epoch until 20 bring no progress, and 15,000 steps in all.
    """
    assert shared.training is not None
    most = shared.training.epochs
    if isinstance(shared.separator, WaveUNet):
        changes: dict[str, Any] = {
            "batch": 16,
            "gains": (0.7, 1.0),
            "schedule": "stages",
            "patience": max(1, most // 6) if setting.part or not setting.real else 20,
        }
    else:
        changes = {"batch": 4, "schedule": "staircase"}
    training = _trained(shared, rate=1e-4, augmentation=False, **changes)
    return _tested(replace(shared, training=training))


def _at_papers_rate(shared: Spec, setting: Setting) -> Spec:
    """Return a rival that hears the clips at the rate at which they are mixed."""
    network, rate = shared.separator, RATE[setting.profile.name]
    wave = isinstance(network, WaveUNet)
    samples = network.samples if wave else network.frames * shared.stft.hop
    training = _trained(shared, **steps(samples / rate))
    at_rate = replace(shared, stft=replace(shared.stft, rate=rate), training=training)
    return _tested(replace(at_rate, evaluation=replace(shared.evaluation, rate=None)))


def _recipes(setting: Setting) -> Experiment:
    rows = []
    for target in TARGETS:
        shared = systems(setting, target)
        for name in ("Wave-U-Net", "SH-4stack"):
            spec = shared[name]
            variants = [
                ("shared", "its own", spec),
                ("its own", "its own", _own_recipe(spec, setting)),
            ]
            if spec.stft.rate != spec.rate:
                variants.append(("shared", "the paper's", _at_papers_rate(spec, setting)))
            rows += [
                Row({"instrument": target, "method": name, "recipe": recipe, "rate": rate}, each)
                for recipe, rate, each in variants
            ]
        rows.append(
            Row(
                {
                    "instrument": target,
                    "method": "Proposed",
                    "recipe": "shared",
                    "rate": "the paper's",
                },
                shared["Proposed"],
            )
        )
    title = "The rivals by their own recipes, and at the paper's rate"
    return Experiment("recipes", title, METRICS, tuple(rows))


def _mixtures(setting: Setting, target: str, own: Spec) -> dict[str, Spec]:
    """Return what the paper's words on its mixtures may mean, each as a change of `own`."""
    rest = "drums" if target == "guitar" else "guitar"
    readings = {
        "0 dB over the song": replace(own, mixing=replace(own.mixing, level="song")),
        f"no {rest} behind": replace(own, mixing=replace(own.mixing, without=(rest,))),
    }
    if setting.real and not setting.part:
        readings["stems"] = replace(own, dataset="medleydb-stems")
    if setting.real and target == "guitar":
        readings["first guitar alone"] = replace(own, dataset="medleydb-first-guitar")
    return {"as in the tables": own, **{name: _tested(spec) for name, spec in readings.items()}}


def _choices(setting: Setting) -> Experiment:
    rows = []
    for target in TARGETS:
        own = replace(base(setting, target), separator=stacked(setting, 3, 500))
        mixtures = _mixtures(setting, target, own)
        found = {
            "Mixture": {
                name: replace(spec, separator=Mixture(), training=None)
                for name, spec in mixtures.items()
            },
            # Of outputs that are not negative, as the network's, both readings of Eq. 8 are one.
            "Oracle": {
                name: _tested(replace(own, separator=Oracle(mask), training=None))
                for name, mask in (("as in the tables", "irm"), ("mask as printed", "printed"))
            },
            "3 x 500 cells": {
                **mixtures,
                "LSTM for GRU": _tested(replace(own, separator=stacked(setting, 3, 500, "lstm"))),
                "epoch chosen on test": _tested(
                    replace(own, training=_trained(own, chosen_on="test"))
                ),
            },
        }
        rows += [
            Row({"instrument": target, "choice": choice, "method": method}, spec)
            for method, specs in found.items()
            for choice, spec in specs.items()
        ]
    return Experiment("choices", "What the paper leaves open", METRICS, tuple(rows))
