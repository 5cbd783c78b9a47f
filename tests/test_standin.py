"""Every embedded stand-in: the same to the bit everywhere, from a cache that heals."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmix.datasets import rendering, standin
from unmix.datasets.band import SyntheticBand
from unmix.datasets.synthetic import SyntheticVoice
from unmix.datasets.synthetic_songs import SyntheticSongs
from unmix.datasets.track import PARTS
from unmix.errors import AudioError, DatasetError
from unmix.runs import source

RATE = 16000


@dataclass
class Case:
    """A stand-in of a few clips.

    `expected` is what a split should have been called, `renderers` names the modules that decide
    how it sounds.
    """

    kind: Any
    counts: dict[str, int]
    expected: str
    renderers: set[str]
    cache: Path = Path()

    def make(self, counts=None, cache=None):
        return self.kind(self.counts if counts is None else counts, cache=cache or self.cache)

    @cached_property
    def tracks(self):
        """The clips as they are heard first."""
        dataset = self.make()
        return {clip.name: dataset.load(clip.name, RATE) for clip in dataset.clips()}

    def check(self, track):
        """A clip sounds as it did first."""
        first = self.tracks[track.clip.name].sources
        assert list(track.sources) == list(first)
        assert all(np.array_equal(sound, first[name]) for name, sound in track.sources.items())


CASES = (
    Case(
        SyntheticVoice,
        {"train": 3, "valid": 1, "test": 2},
        r"one of standin, paper, clean, huang, leaky \(the stand-in's are all the same\)",
        {"composing", "rendering", "singing", "soundfont", "standin", "synthetic"},
    ),
    Case(
        SyntheticBand,
        {"train": 4, "valid": 2, "test": 3},
        r"standin \(the stand-in has no other\)",
        {"arranging", "band", "composing", "rendering", "soundfont", "standin"},
    ),
    Case(
        SyntheticSongs,
        {"train": 3, "valid": 1, "test": 2},
        r"standin \(the stand-in has no other\)",
        {
            *("arranging", "band", "composing", "panning", "rendering", "singing"),
            *("soundfont", "standin", "synthetic_songs"),
        },
    ),
)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.kind.name)
def case(request, standin_cache):
    request.param.cache = standin_cache
    return request.param


# The contract.


def test_unknown_names_are_refused_with_the_nearest_one(case):
    dataset = case.make()
    message = r"unknown split 'standing' \(did you mean 'standin'\?\)\. Expected: " + case.expected
    with pytest.raises(DatasetError, match=message):
        dataset.split("standing")
    with pytest.raises(DatasetError, match=r"unknown clip 'nobody'.*a name from clips\(\)"):
        dataset.load("nobody", RATE)
    with pytest.raises(DatasetError, match=r"unknown part 'tests' \(did you mean 'test'\?\)"):
        case.make({"tests": 1})
    with pytest.raises(DatasetError, match="-1 clips"):
        case.make({"train": -1})


def test_counts_only_add_clips(case):
    dataset = case.make()
    more = case.make({**case.counts, "train": 9, "test": case.counts["test"] + 2})
    for part in PARTS:
        fewer = dataset.split("standin")[part]
        assert len(fewer) == case.counts[part]
        assert more.split("standin")[part][: len(fewer)] == fewer
    case.check(more.load(dataset.split("standin")["train"][0], RATE))
    assert case.make({}).clips() == []
    whole = case.kind(cache=case.cache).split("standin")
    assert {part: len(names) for part, names in whole.items()} == standin.COUNTS


# The same everywhere.


def test_another_order_and_an_empty_cache_give_the_same_bits(case, tmp_path):
    again = case.make(cache=tmp_path)
    for clip in reversed(again.clips()):
        case.check(again.load(clip.name, RATE))


def test_another_process_gives_the_same_bits(case, tmp_path):
    dataset = case.make()
    name = dataset.split("standin")["valid"][0]
    code = (
        "import hashlib, sys; from pathlib import Path\n"
        f"from {case.kind.__module__} import {case.kind.__name__} as Kind\n"
        f"d = Kind({case.counts}, cache=Path(sys.argv[1]))\n"
        f"sound = d.load({name!r}, {RATE}).sources\n"
        "print(*(hashlib.sha256(s.tobytes()).hexdigest() for s in sound.values()))\n"
        "print(d.fingerprint())"
    )
    run = [sys.executable, "-c", code, str(tmp_path)]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split("\n")
    here = case.tracks[name].sources.values()
    assert lines[0].split() == [hashlib.sha256(sound.tobytes()).hexdigest() for sound in here]
    assert lines[1] == dataset.fingerprint()


def test_fingerprint_follows_counts_and_what_renders(case, monkeypatch):
    dataset = case.make()
    before, hashed, real = dataset.fingerprint(), [], rendering.source_hash
    assert before == case.make().fingerprint()
    assert before != case.make({**case.counts, "train": 2}).fingerprint()
    standin.recipe.cache_clear()
    monkeypatch.setattr(
        rendering, "source_hash", lambda *modules: hashed.extend(modules) or real(*modules) + "x"
    )
    assert dataset.fingerprint() != before
    monkeypatch.undo()
    standin.recipe.cache_clear()
    assert dataset.fingerprint() == before
    # A change of whatever composes or renders is one: comments apart, their texts are hashed.
    names = {module.__name__.rpartition(".")[2] for module in hashed}
    assert names == case.renderers


def test_what_renders_counts_for_the_keys_of_runs_too(case):
    counted = set(source.producing_modules([case.kind.__module__]))
    assert {f"unmix.datasets.{name}" for name in case.renderers} <= counted


def test_source_hash_overlooks_comments_and_docstrings(monkeypatch):
    text = 'def f():\n    """Say."""\n    return 1\n'
    monkeypatch.setattr(rendering.inspect, "getsource", lambda module: text)
    first = rendering.source_hash(rendering)
    text = 'def f():\n    """Say more."""\n    # why\n    return (1)\n'
    assert rendering.source_hash(rendering) == first
    text = 'def f():\n    """Say."""\n    return 2\n'
    assert rendering.source_hash(rendering) != first


# The cache.


@pytest.mark.parametrize("damage", ["cut", "bit", "index", "other index", "gone"])
def test_a_damaged_file_is_rendered_anew(case, damage):
    name = case.make().split("standin")["valid"][0]
    song = case.tracks[name].clip.song
    folder = case.cache / case.kind.name
    # A file holds a clip or a whole song.
    (path,) = [*folder.rglob(f"{name}.flac"), *folder.rglob(f"{song}.flac")]
    whole, index = path.read_bytes(), path.with_name(f"{song}.json")
    listed = index.read_text()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "bit":
        path.write_bytes(whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:])
    elif damage == "index":
        index.write_text("{")
    elif damage == "other index":
        index.write_text("[1]")
    else:
        path.unlink()
    case.check(case.make().load(name, RATE))
    assert path.read_bytes() == whole
    assert index.read_text() == listed
    assert not list(case.cache.rglob(".*")), "nothing is left beside"


def test_what_is_cached_is_not_rendered_again(case, monkeypatch):
    names = list(case.tracks)
    monkeypatch.setattr(case.kind, "render", lambda self, song: pytest.fail("rendered again"))
    again = case.make()
    for name in names:
        case.check(again.load(name, RATE))


def test_the_cache_follows_the_environment(case, monkeypatch, tmp_path):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path))
    assert case.kind({}).cache == tmp_path
    monkeypatch.delenv("UNMIX_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert case.kind({}).cache == tmp_path / ".cache" / "unmix"


@pytest.mark.parametrize(
    ("full", "kind", "message"),
    [
        (True, AudioError, r"(?s)No space left on device.*UNMIX_CACHE"),
        (False, DatasetError, "what was written there a moment ago reads differently.*UNMIX_CACHE"),
    ],
)
def test_a_cache_that_cannot_be_written_or_read_says_so(
    case, tmp_path, monkeypatch, full, kind, message
):
    def put(path, text):
        if full:
            raise OSError("No space left on device")
        path.write_text("{}")

    few = {"other": np.full((2, 9), 0.5, np.float32)}
    monkeypatch.setattr(case.kind, "render", lambda self, song: few)
    monkeypatch.setattr(standin, "put", put)
    stuck = case.make({"test": 1}, tmp_path)
    with pytest.raises(kind, match=message):
        stuck.load(stuck.clips()[0].name, RATE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind.name)
def test_importing_loads_nothing_heavy(case):
    code = (
        f"import sys, {case.kind.__module__}\n"
        "heavy = {'scipy', 'soundfile', 'soxr', 'pretty_midi', 'torch', 'librosa', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"
