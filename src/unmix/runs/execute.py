"""Carrying out one spec: load, train or fit, separate the test part, score."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from unmix.audio import resample
from unmix.datasets.catalogue import MODULES
from unmix.datasets.track import ACCOMPANIMENT, Dataset, Scene, Track
from unmix.errors import AudioError, DatasetError, SpecError
from unmix.metrics.means import selected
from unmix.metrics.scores import global_scores, score_answers, unscored
from unmix.models.separator import KINDS, NetworkSeparator, Separator, describe
from unmix.plain import digest
from unmix.runs import machine, source
from unmix.runs.checksums import ALGORITHM
from unmix.runs.rounds import InTurn, Learnt, Parts, Rounds, counts, rounds, splits
from unmix.runs.scene import accompanied, complete, loaded, scene, scenes
from unmix.runs.spec import Spec
from unmix.runs.store import FORMAT, write_json, write_table
from unmix.training import checkpoint
from unmix.training.examples import Bank, CompactBank, SpectrumBank, WaveBank
from unmix.training.minibatch import train

Log = Callable[[dict[str, Any]], None]

THREADS = 1
"""On a CPU, so that sums are formed in one order whatever the number of cores."""


def code_modules(spec: Spec) -> list[str]:
    """Return the modules whose source decides the scores of `spec`."""
    separator = KINDS[describe(spec.separator)].split(":")[0]
    return ["unmix.runs.execute", separator, MODULES[spec.dataset]]


def key(spec: Spec, dataset: Dataset) -> str:
    """Return the key of a run: settings, data, code, and the versions of torch and numpy."""
    found = rounds(spec, dataset)
    return digest(
        {
            "format": FORMAT,
            "spec": spec.plain(),
            "data": dataset.fingerprint(),
            "clips": found if len(found) > 1 else found[0],
            "code": source.fingerprint(code_modules(spec)),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }
    )


def resolve_device(name: str) -> str:
    """Return `cpu` or a CUDA device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        SpecError: the device is unknown or not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or not (number.isdigit() or name == "cuda")):
        raise SpecError(f"unknown device '{name}'", expected="auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise SpecError(
            f"device '{name}' is not there ({torch.cuda.device_count()} CUDA devices found)",
            do="choose --device cpu, or install a torch build for your GPU",
        )
    return name


def carry_out(
    spec: Spec,
    dataset: Dataset,
    folder: Path,
    *,
    identity: str,
    device: str = "cpu",
    log: Log = lambda row: None,
) -> None:
    """Carry out `spec` and write the run's files into `folder`.

    On a CPU one thread does all the arithmetic, so that the result does not depend on the number
    of cores: the same spec gives the same scores to the bit on the same machine.

    Args:
        spec: what to do.
        dataset: where its clips are.
        folder: the run's partial folder; a checkpoint found in it is continued.
        identity: what checkpoints belong to (the run's key).
        device: `cpu` or a CUDA device.
        log: called after each epoch with a row of the history.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    meter = machine.Meter()
    resumed = (folder / checkpoint.NAME).exists() or any(folder.glob("round-*"))
    try:
        found = rounds(spec, dataset)
        in_turn = InTurn(
            folder,
            spec.identity(),
            lambda parts, own, tell: _round(spec, dataset, parts, own, identity, device, tell),
            partial(rebuilt, spec),
        )
        separator, history, scores, here = in_turn.all(found, log)
        # A resumed training spent the epochs before in an earlier call.
        trained = max(here, sum(row["seconds"] for row in history))
    finally:
        torch.set_num_threads(threads)
    write_table(folder / "scores.csv", scores)
    if history:
        write_table(folder / "history.csv", pd.DataFrame(history))
    if separator.tensors():
        checkpoint.write_tensors(
            folder / "model.safetensors", separator.tensors(), {"spec": spec.identity()}
        )
    if hasattr(separator, "findings"):
        write_json(folder / "findings.json", separator.findings)
    write_json(folder / "spec.json", spec.plain())
    times = {"learning_s": trained, "wall_s": meter.wall() + trained - here}
    about = provenance(spec, dataset, device, counts(found), times, meter)
    about["resumed"] = resumed
    means = global_scores(selected(scores))
    about["global"] = {
        name: value if math.isfinite(value) else None for name, value in means.items()
    }
    write_json(folder / "provenance.json", about)
    in_turn.done()


def _round(
    spec: Spec,
    dataset: Dataset,
    parts: Parts,
    folder: Path,
    identity: str,
    device: str,
    log: Log,
) -> Learnt:
    """Learn from one collection of clips and score what it tests."""
    began = time.perf_counter()
    separator, history = learn(spec, dataset, parts, folder, identity, device, log)
    spent = time.perf_counter() - began
    scores = pd.concat(
        evaluate(spec, tracks(spec, dataset, parts[part], spec.rate), separator, part)
        for part in spec.evaluation.parts
    )
    return separator, history, scores, spent


def tracks(spec: Spec, dataset: Dataset, names: Sequence[str], rate: int) -> Iterator[Track]:
    """Yield the named clips at `rate` Hz.

    Raises:
        DatasetError: there is no clip.
    """
    if not names:
        raise DatasetError(
            f"split '{spec.split}' of {spec.dataset} has a part without clips",
            expected="at least one clip in each part",
        )
    for name in names:
        yield loaded(dataset, name, rate, spec.mixing)


def learn(
    spec: Spec,
    dataset: Dataset,
    parts: Mapping[str, Sequence[str]],
    folder: Path | None,
    identity: str,
    device: str,
    log: Log,
) -> tuple[Separator, list[dict[str, Any]]]:
    """Train a network or fit another separator on the training part; return it and its history."""

    def mixed(part: str) -> Iterator[Scene]:
        return scenes(tracks(spec, dataset, parts[part], spec.stft.rate), spec.mixing)

    if spec.training is None:
        known = spec.stft, spec.seed, spec.mixing.sources
        if hasattr(spec.separator, "learn"):
            keeping = checkpoint.Keeping(folder, identity, device, log)
            return spec.separator.learn(mixed, *known, keeping)  # type: ignore[no-any-return]
        return spec.separator.fit(mixed("train"), *known), []
    seconds, form = spec.training.chunk, getattr(spec.separator, "bank", "spectra")
    bank: Callable[[Iterator[Scene]], Bank]
    if form == "waves":
        length = round(seconds * spec.stft.rate)
        bank = partial(WaveBank.of, chunk=length, level=spec.separator.level, device=device)
    else:
        length = round(seconds * spec.stft.rate / spec.stft.hop)
        whole_songs = form == "levels"
        bank = partial(
            CompactBank.of if whole_songs else SpectrumBank.of,
            stft=spec.stft,
            chunk_frames=length,
            device=device,
            scale=form,
        )
    banks = bank(mixed("train")), bank(mixed(spec.training.chosen_on))
    network = fresh_network(spec).to(device)
    history = train(
        network,
        banks,
        spec.training,
        length,
        seed=spec.seed,
        folder=folder,
        identity=identity,
        log=log,
    )
    return around(spec, network), history


def fresh_network(spec: Spec) -> Any:
    """Return the spec's network with the initial weights that its seed gives."""
    assert spec.training is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        if hasattr(spec.separator, "bank"):
            return spec.separator.build(len(spec.mixing.sources))
        return spec.separator.build(spec.stft.bins, spec.training.loss.outputs)


def around(spec: Spec, network: Any) -> Separator:
    """Return the separator around a network of this spec."""
    assert spec.training is not None
    if hasattr(spec.separator, "around"):
        return spec.separator.around(network, spec.stft, spec.mixing.sources)  # type: ignore[no-any-return]
    return NetworkSeparator(
        network,
        spec.stft,
        spec.training.loss.target,
        spec.evaluation.mask,
        spec.mixing.snr_db,
        spec.mixing.sources,
    )


def restore(spec: Spec, weights: Path) -> Separator:
    """Rebuild the separator of a stored run.

    Raises:
        CheckpointError: the weights are damaged or belong to another spec.
    """
    if not weights.exists():
        return rebuilt(spec, {})
    tensors = checkpoint.weights_of(weights, spec.identity())
    if len(splits(spec.split)) > 1:
        return Rounds.restored(tensors, partial(rebuilt, spec))
    return rebuilt(spec, tensors)


def rebuilt(spec: Spec, tensors: dict[str, torch.Tensor]) -> Separator:
    """Return the separator that learnt `tensors`, of which those that learn nothing have none."""
    if not tensors:
        return spec.separator.fit([], spec.stft, spec.seed, spec.mixing.sources)  # type: ignore[no-any-return]
    if spec.training is None:
        return spec.separator.restore(tensors, spec.stft, spec.mixing.sources)  # type: ignore[no-any-return]
    network = fresh_network(spec)
    network.load_state_dict(tensors)
    return around(spec, network)


def evaluate(
    spec: Spec, clips: Iterator[Track], separator: Separator, part: str = "test"
) -> pd.DataFrame:
    """Separate and score clips: a row each and scored source, see `unmix.metrics.scores`.

    A clip in which target or accompaniment pauses has a row without scores. Where more is scored
    than the test part, the column `part` says what a row belongs to.
    """
    rows: list[dict[str, object]] = []
    for track in clips:
        try:
            mixed = complete(scene(track, spec.mixing), spec.mixing.sources)
        except AudioError:
            samples = next(iter(track.sources.values())).shape[1]
            names = (*spec.scored, *([ACCOMPANIMENT] if spec.evaluation.against else []))
            rows += unscored(track.clip, samples, names, spec.evaluation.versions)
            continue
        rows += _rows(spec, mixed, answers(spec, separator, mixed))
    table = pd.DataFrame(rows)
    return table if spec.evaluation.parts == ("test",) else table.assign(part=part)


def _rows(
    spec: Spec, mixed: Scene, found: Mapping[str, Mapping[str, np.ndarray]]
) -> list[dict[str, object]]:
    """Return the scores of all answers to a mixture: of its sources, and of an accompaniment."""
    settings = spec.evaluation
    frames = None
    if settings.window:
        frames = round(settings.window * mixed.rate), round(settings.hop * mixed.rate)
    how = settings.taps, settings.backend, settings.versions, frames
    rows = score_answers(mixed.clip, mixed.references, mixed.mixture, found, spec.scored, *how)
    if settings.against:
        true = accompanied(mixed.references, settings.against)
        pairs = {name: accompanied(each, settings.against) for name, each in found.items()}
        wanted = [ACCOMPANIMENT]
        rows += score_answers(mixed.clip, true, mixed.mixture, pairs, wanted, *how)
    return rows


def answers(spec: Spec, separator: Separator, mixed: Scene) -> dict[str, dict[str, np.ndarray]]:
    """Return the estimates for a mixture at the spec's rate, whatever rate the separator has.

    They come by variant, of which most separators have one, without a name; the last is the one
    that a separator gives to whoever asks for no other.
    """
    separator = _for_clip(separator, mixed)
    if not hasattr(separator, "answers"):
        return {"": separated(spec, separator, mixed)}
    found = separator.answers(*_heard(spec, mixed))
    return {variant: _brought(spec, each, mixed) for variant, each in found.items()}


def separated(
    spec: Spec, separator: Separator, mixed: Scene, variant: str = ""
) -> dict[str, np.ndarray]:
    """Return the estimates of one variant, see `answers`; the last where none is named."""
    separator = _for_clip(separator, mixed)
    if not is_usual(separator, variant):
        return answers(spec, separator, mixed)[variant]
    return _brought(spec, separator.separate(*_heard(spec, mixed)), mixed)


def is_usual(separator: Separator, variant: str) -> bool:
    """Return whether a variant, "" for none, is what `separate` gives without making the others."""
    return variant in ("", getattr(separator, "usual", ""))


def _for_clip(separator: Separator, mixed: Scene) -> Separator:
    return separator.of(mixed.clip.name) if isinstance(separator, Rounds) else separator


def _heard(spec: Spec, mixed: Scene) -> tuple[np.ndarray, Mapping[str, np.ndarray] | None]:
    """Return mixture and references for a separator; at a rate of its own there are no latter."""
    own = spec.stft.rate
    if own == mixed.rate:
        return mixed.mixture, mixed.references
    return resample(mixed.mixture, mixed.rate, own).astype(np.float32), None


def _brought(
    spec: Spec, estimates: Mapping[str, np.ndarray], mixed: Scene
) -> dict[str, np.ndarray]:
    """Return estimates at the mixture's rate, cut or followed by silence to its length."""
    own, samples = spec.stft.rate, mixed.mixture.shape[1]
    if own == mixed.rate:
        return dict(estimates)
    found = {}
    for name, sound in estimates.items():
        back = resample(sound, own, mixed.rate)[:, :samples].astype(np.float32)
        found[name] = np.pad(back, ((0, 0), (0, samples - back.shape[1])))
    return found


def provenance(
    spec: Spec,
    dataset: Dataset,
    device: str,
    clips: Mapping[str, int],
    times: Mapping[str, float],
    meter: machine.Meter,
) -> dict[str, Any]:
    """Return where a run's scores come from.

    Times are in s. `learning_s` and `wall_s` include what an interrupted call spent on epochs;
    `started`, `cpu_s` and `energy_j` are of the call that finished the run, see `machine.Meter`.
    """
    fidelity = dataset.fidelity
    partly = spec.clips is not None or spec.split in getattr(dataset, "subsets", ())
    if partly and fidelity == "full":
        fidelity = "subset"
    on_gpu = device.startswith("cuda")
    energy = meter.energy()
    return {
        "fidelity": fidelity,
        "spec": spec.identity(),
        "family": spec.family(),
        "seed": spec.seed,
        "data": dataset.fingerprint(),
        "code": source.fingerprint(code_modules(spec)),
        **meter.tree,
        **machine.versions(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else machine.processor(),
        "threads": THREADS,
        "repeatable": not on_gpu,
        "clips": dict(clips),
        **{name: round(value, 3) for name, value in times.items()},
        "cpu_s": round(meter.cpu(), 3),
        "energy_j": None if energy is None else round(energy, 1),
        "peak_memory_mb": machine.peak_memory(),
        "started": meter.started,
        "finished": meter.finished(),
        "checksums": ALGORITHM,
    }
