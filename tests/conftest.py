"""Small sounds, a small dataset, and the real one where it lies."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from unmix.datasets import catalogue
from unmix.datasets.splits import stored_split
from unmix.datasets.track import PARTS, Clip, Track
from unmix.models.recurrent import RecurrentNetwork
from unmix.runs.spec import Evaluation, Spec
from unmix.stft import STFT
from unmix.training.minibatch import Training


def sung(samples, rate, rng):
    """A harmonic tone with vibrato, shape `(1, samples)`."""
    time = np.arange(samples) / rate
    pitch = rng.uniform(180.0, 320.0)
    phase = 2 * np.pi * pitch * time + 0.8 * np.sin(2 * np.pi * 5.5 * time + rng.uniform(0, 6))
    sound = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 8))
    return (0.1 * sound)[None].astype(np.float32)


def played(samples, rate, rng):
    """Two held notes and noise, shape `(1, samples)`."""
    time = np.arange(samples) / rate
    notes = rng.uniform(90.0, 160.0, size=2)
    sound = sum(np.sin(2 * np.pi * note * time + rng.uniform(0, 6)) for note in notes)
    return (0.1 * sound + 0.05 * rng.standard_normal(samples))[None].astype(np.float32)


def make_track_of(name, seconds=1.0, rate=8000, seed=0):
    """A voice over an accompaniment; `singer_song_clip` names them, and name and seed draw them."""
    rng = np.random.default_rng([seed, *name.encode()])
    samples = round(seconds * rate)
    sources = {"voice": sung(samples, rate, rng), "accompaniment": played(samples, rate, rng)}
    return Track(Clip(name, name.rsplit("_", 1)[0], name.split("_")[0]), rate, sources)


class TinyDataset:
    """Eight seconds of sound that obey the contract of a dataset, from memory."""

    name, fidelity, source_names = "tiny", "stand-in", ("voice", "accompaniment")

    def __init__(self, seed=0):
        self.seed = seed
        names = {
            "train": ("ann_1_01", "ann_1_02", "bob_1_01", "cat_1_01"),
            "valid": ("dan_1_01", "dan_1_02"),
            "test": ("eve_1_01", "fay_1_01", "fay_1_02"),
        }
        self.splits = {"standin": names, "other": {**names, "test": names["test"][::-1]}}

    def clips(self):
        return [
            self.load(name, 8000).clip for part in PARTS for name in self.split("standin")[part]
        ]

    def split(self, name):
        return stored_split(self.splits, name)

    def load(self, clip_name, rate):
        # Lengths differ, and none is a multiple of the hop.
        seconds = 0.7 + 0.05 * (sum(clip_name.encode()) % 7)
        return make_track_of(clip_name, seconds, rate, self.seed)

    def fingerprint(self):
        return hashlib.sha256(f"tiny {self.seed}".encode()).hexdigest()


@pytest.fixture(scope="session")
def make_track():
    return make_track_of


@pytest.fixture(scope="session")
def make_dataset():
    return TinyDataset


@pytest.fixture(scope="session")
def small_tracks():
    """Six clips of four songs, one of them shorter than half a second."""
    lengths = {
        "a_1_01": 1.3,
        "a_1_02": 0.9,
        "b_1_01": 0.3,
        "b_1_02": 1.0,
        "b_2_01": 1.1,
        "c_1_01": 1,
    }
    return [make_track_of(name, seconds) for name, seconds in lengths.items()]


@pytest.fixture(scope="session")
def small_stft():
    return STFT(rate=8000, window=256, hop=128)


@pytest.fixture(scope="session")
def small_spec(small_stft):
    """A run of a second: it names the stand-in, whose place `TinyDataset` can take."""
    return Spec(
        dataset="synthetic-voice",
        split="standin",
        separator=RecurrentNetwork(units=12),
        training=Training(epochs=4, patience=4, batch=4, chunk=0.5, schedule="cosine"),
        stft=small_stft,
        evaluation=Evaluation(taps=8),
    )


@pytest.fixture(scope="session")
def standin_cache(tmp_path_factory):
    """A fresh cache for rendered sound, here and in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("UNMIX_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real datasets; tests that need it are skipped where there is none."""
    if not catalogue.available("mir1k"):
        pytest.skip("UNMIX_DATA names no folder with MIR-1K")
    root = catalogue.data_root()
    assert root is not None
    return root


@pytest.fixture(scope="session")
def real_tracks(real_data):
    """Three clips of MIR-1K, cut to three seconds, at 8 kHz."""
    dataset = catalogue.open_dataset("mir1k", real_data)
    tracks = []
    for name in ("davidson_3_11", "amy_9_08", "abjones_1_01"):
        track = dataset.load(name, 8000)
        cut = {source: sound[:, :24000] for source, sound in track.sources.items()}
        tracks.append(Track(track.clip, 8000, cut))
    return tracks


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty `results/parwal`."""
    monkeypatch.setenv("UNMIX_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    (tmp_path / "results" / "parwal").mkdir(parents=True)
    return tmp_path / "results" / "parwal"


@pytest.fixture
def store(tmp_path, results, standin_cache):
    """A store with a run on the stand-in for each row of Table II under `tiny`."""
    # Imported here, because most tests need no report.
    from aids import TINY, fabricate, scores, spec_of
    from unmix.runs.execute import key
    from unmix.runs.store import Store

    found = Store(tmp_path / "store")
    dataset = catalogue.open_dataset("synthetic-voice", None, TINY.profile.clips)
    for shift, label in enumerate(("Not augmented", "Augmented")):
        spec = spec_of(TINY, label)
        table = scores(a_1=1.0 + shift, a_2=2.0 + shift, b_1=3.0 + 2 * shift)
        fabricate(found.root / key(spec, dataset), spec, "stand-in", table, history=(0.5, 0.25))
    return found


@pytest.fixture
def full(store):
    """In `store`, a run of Table II on the paper's dataset, with weights and checksums."""
    from aids import FULL, fabricate, scores, spec_of
    from unmix.runs import checksums

    spec = spec_of(FULL, "Augmented").with_seed(2)
    about = {"wall_s": 166.1, "seed": 2, "global": {"GNSDR": 7.25}, "torch": "2.0"}
    folder = store.root / ("f" * 64)
    run = fabricate(folder, spec, "full", scores(a_1=7.0, b_1=8.0), history=(1.0, 0.5), **about)
    run.weights.write_bytes(b"weights")
    checksums.write(folder)
    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store that all tests of a file share, no evidence, and no dataset."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNMIX_STORE", str(folder / "store"))
        patch.setenv("UNMIX_RESULTS", str(folder / "results"))
        patch.setenv("COLUMNS", "100")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("UNMIX_DATA", raising=False)
        yield folder


@pytest.fixture
def unmix(monkeypatch, capfd):
    """Call the command line in this process; returns its status, output and messages."""
    from unmix import cli

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["unmix", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        found = capfd.readouterr()
        return status, found.out, found.err

    return call


@pytest.fixture
def call(unmix, store):
    """Call a command of `unmix runs` on `store`."""
    return lambda *words: unmix("runs", *words, "--store", store.root)
