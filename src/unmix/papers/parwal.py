"""Singing voice separation on MIR-1K with deep recurrent networks (A. Parwal).

Which specs make up Tables I to IV and Figure 2, and the questions that the paper leaves open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture, Oracle
from unmix.models.recurrent import RecurrentNetwork
from unmix.papers.experiment import Experiment, Row, Setting
from unmix.runs.spec import Evaluation, Mixing, Spec
from unmix.training.losses import Loss
from unmix.training.minibatch import Training

DATASET = "mir1k"
METRICS = ("GNSDR", "GSIR", "GSAR")

BUDGET = "1000 epochs, one chunk a step"
"""How long the paper trains ("Unless stated, training was done on 1000 epochs with batch size of
1"); it does not say which epoch's weights are kept, nor the learning rate."""

FIGURES = {"figure2": "table4"}
"""Figures that a notebook draws, and the experiment whose runs they show."""

DNN = RecurrentNetwork(cell="dense", layers=3)
"""The paper's "simply DNN"; three hidden layers as in the work it builds on (Huang 2015)."""

EPOCHS = {"tiny": 2, "quick": 20, "full": 24}
"""Passes over the training part, the same for every row, so that budgets are equal within a table
(`full` has ten times as much to pass over as `quick`)."""

PATIENT_EPOCHS = {"tiny": 2, "quick": 60, "full": 80}
"""At most so many passes where early stopping shall decide."""

NMF = {
    "tiny": ConvolutiveNmf(rank=5, iterations=5, steps=5),
    "quick": ConvolutiveNmf(rank=25, iterations=50, steps=25),
    "full": ConvolutiveNmf(rank=50, iterations=100, steps=50),
}


def experiments(setting: Setting) -> list[Experiment]:
    """Return the paper's experiments, and our own, for a profile and its data."""
    base = _base(setting)
    return [
        _table1(base),
        _table2(base),
        _table3(base),
        _table4(base),
        _baselines(base, setting),
        _objective(base),
        _conditions(base),
        _choices(base),
        _patience(base, setting),
    ]


def _base(setting: Setting) -> Spec:
    """Return the configuration that the tables share: Table II 'Augmented', with one layer."""
    epochs = EPOCHS[setting.profile.name]
    return Spec(
        dataset="mir1k" if setting.real else "synthetic-voice",
        split="paper" if setting.real else "standin",
        clips=setting.profile.clips,
        separator=RecurrentNetwork(),
        training=Training(
            epochs=epochs,
            patience=epochs,
            batch=4,
            schedule="cosine",
        ),
    )


def _with(
    base: Spec,
    network: RecurrentNetwork | None = None,
    *,
    loss: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    **changes: Any,
) -> Spec:
    """Return `base` with another network, loss, training or top-level settings."""
    assert base.training is not None
    trained = replace(base.training, loss=replace(base.training.loss, **(loss or {})))
    return replace(
        base,
        separator=network or base.separator,
        training=replace(trained, **(training or {})),
        **changes,
    )


def _layers(count: int) -> RecurrentNetwork:
    return RecurrentNetwork(layers=count)


def _table1(base: Spec) -> Experiment:
    rows = tuple(
        Row(
            {"input size": str(size)},
            _with(base, RecurrentNetwork(context=size), training={"augmentation": False}),
        )
        for size in (1, 2, 3)
    )
    return Experiment("table1", "Table I: frames of input", METRICS, rows)


def _table2(base: Spec) -> Experiment:
    rows = tuple(
        Row({"input": name}, _with(base, training={"augmentation": augmented}))
        for name, augmented in (("Not augmented", False), ("Augmented", True))
    )
    return Experiment("table2", "Table II: data augmentation", METRICS, rows)


def _table3(base: Spec) -> Experiment:
    losses = {
        "Vocal": Loss(target="voice", position="before"),
        "Music": Loss(target="accompaniment", position="before"),
        "Both, before mask": Loss(position="before"),
        "Both, after mask": Loss(),
    }
    rows = tuple(
        Row({"loss on": name}, _with(base, training={"loss": loss}))
        for name, loss in losses.items()
    )
    return Experiment("table3", "Table III: what the loss is computed on", METRICS, rows)


def _table4(base: Spec) -> Experiment:
    models = {"DNN": DNN, "1 RNN": _layers(1), "2 RNN": _layers(2), "3 RNN": _layers(3)}
    rows = tuple(
        Row(
            {"model": model, "loss": divergence.upper()},
            _with(base, network, loss={"divergence": divergence}),
        )
        for divergence in ("mse", "kl")
        for model, network in models.items()
    )
    return Experiment("table4", "Table IV: depth and loss", METRICS, rows, seeds=3)


def _baselines(base: Spec, setting: Setting) -> Experiment:
    plain = replace(base, separator=Mixture(), training=None)
    systems = {
        "Mixture": Mixture(),
        "Convolutive NMF": NMF[setting.profile.name],
        "Oracle ratio mask (IRM)": Oracle("irm"),
        "Oracle binary mask (IBM)": Oracle("ibm"),
        "Oracle phase-sensitive mask": Oracle("psm"),
    }
    rows = tuple(
        Row({"system": name}, replace(plain, separator=system)) for name, system in systems.items()
    )
    return Experiment("baselines", "Anchors and the NMF baseline", METRICS, rows)


def _objective(base: Spec) -> Experiment:
    rows = tuple(
        Row({"discriminative weight": f"{weight:g}"}, _with(base, loss={"discriminative": weight}))
        for weight in (0.0, 0.05)
    )
    return Experiment("objective", "The discriminative objective", METRICS, rows)


def _conditions(base: Spec) -> Experiment:
    best = _with(base, _layers(3))
    rows = [
        Row(
            {"split": best.split, "SNR": f"{snr:+.0f} dB" if snr else "0 dB"},
            replace(best, mixing=Mixing(snr)),
        )
        for snr in (-5.0, 0.0, 5.0)
    ]
    if best.dataset == "mir1k":
        rows += [
            Row({"split": split, "SNR": "0 dB"}, replace(best, split=split))
            for split in ("leaky", "clean", "huang")
        ]
    return Experiment("conditions", "Other levels, other splits", METRICS, tuple(rows))


def _choices(base: Spec) -> Experiment:
    specs = {
        "as in the tables": base,
        "binary mask at test": _with(base, evaluation=Evaluation(mask="binary")),
        "GRU instead of ReLU": _with(base, RecurrentNetwork(cell="gru")),
        "no recurrence, one layer": _with(base, RecurrentNetwork(cell="dense")),
        "KL": _with(base, loss={"divergence": "kl"}),
        "KL, floor of 0.01": _with(base, loss={"divergence": "kl-0.01"}),
        "KL, floor of 0.001": _with(base, loss={"divergence": "kl-0.001"}),
        "KL, arguments the other way": _with(base, loss={"divergence": "kl-reverse"}),
        "KL of power spectra": _with(base, loss={"divergence": "kl-power"}),
        "bfloat16": _with(base, training={"precision": "bfloat16"}),
    }
    rows = tuple(Row({"choice": name}, spec) for name, spec in specs.items())
    return Experiment("choices", "What the paper leaves open", METRICS, rows)


def _patience(base: Spec, setting: Setting) -> Experiment:
    patient = {
        "epochs": PATIENT_EPOCHS[setting.profile.name],
        "patience": 12,
        "schedule": "plateau",
    }
    rows = tuple(
        Row(
            {"model": f"{layers} RNN", "loss": divergence.upper()},
            _with(base, _layers(layers), loss={"divergence": divergence}, training=patient),
        )
        for divergence in ("mse", "kl")
        for layers in (1, 3)
    )
    return Experiment("patience", "A larger budget, with early stopping", METRICS, rows)
