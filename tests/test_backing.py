"""Songs over one backing track are found from their sound."""

import json
import os

import numpy as np
import pytest

from unmix.datasets import backing, mir1k
from unmix.datasets.mir1k import Mir1k
from unmix.datasets.track import Clip, Track

DATA = os.environ.get("UNMIX_DATA", "")
needs_data = pytest.mark.skipif(
    not os.path.isdir(os.path.join(DATA, "MIR-1K", "Wavfile")) or not DATA,
    reason="needs MIR-1K: set UNMIX_DATA to the folder above MIR-1K",
)


class Cut:
    """A dataset of songs cut from long recordings: `{song: [(recording, start, level), ...]}`."""

    name, fidelity, source_names = "cut", "stand-in", ("voice", "accompaniment")

    def __init__(self, songs, noise=0.0):
        self.cuts = {f"{s}_{i}": cut for s, cuts in songs.items() for i, cut in enumerate(cuts)}
        self.noise = noise

    def clips(self):
        return [Clip(name, name.rsplit("_", 1)[0]) for name in self.cuts]

    def load(self, clip_name, rate):
        assert rate == backing.RATE
        recording, start, level = self.cuts[clip_name]
        sound = level * music(recording)[:, start : start + 6 * rate]
        seed = sum(map(ord, clip_name))
        sound = sound + self.noise * np.random.default_rng(seed).normal(size=sound.shape)
        return Track(Clip(clip_name, clip_name), rate, {"accompaniment": sound})


def music(seed, seconds=40):
    """Return chords of decaying harmonics on a common beat and scale: `(1, samples)`."""
    generator = np.random.default_rng(seed)
    samples, beat = seconds * backing.RATE, backing.RATE // 2
    sound = np.zeros(samples)
    axis = np.arange(beat) / backing.RATE
    for start in range(0, samples, beat):
        for note in generator.choice([0, 2, 4, 5, 7, 9, 11, 12], 3, replace=False):
            pitch = 220 * 2 ** (note / 12) * (1 + generator.normal(0, 1e-3))
            for harmonic in range(1, 6):
                phase = generator.uniform(0, 6.28)
                tone = np.sin(2 * np.pi * pitch * harmonic * axis + phase) / harmonic
                sound[start : start + beat] += tone * np.exp(-6 * axis)
        sound[start : start + 200] += generator.normal(0, 0.5, 200)
    return sound[None]


def test_cuts_of_one_recording_are_grouped_whatever_their_offset_and_level():
    second = backing.RATE
    songs = {
        "one": [(1, 0, 1.0), (1, 9 * second, 1.0)],
        "two": [(1, 8 * second + 321, 0.05), (1, 20 * second, 0.05)],
        "three": [(2, 0, 1.0), (2, 8 * second, 1.0)],
        "four": [(3, 0, 1.0), (3, 8 * second, 1.0)],
        "five": [(3, 3 * second + 77, -0.3)],
    }
    found = backing.find_groups(Cut(songs, noise=1e-3))
    assert found.groups == (("five", "four"), ("one", "two"))
    assert found.songs == 5
    assert all(score >= backing.THRESHOLD for score, _, _ in found.pairs)
    assert found.next_highest is not None
    assert found.next_highest[0] < backing.THRESHOLD / 1.5


def test_the_wanted_songs_alone_are_compared():
    songs = {name: [(1, 0, 1.0)] for name in ("one", "two", "three")}
    assert backing.find_groups(Cut(songs), ["one", "two"]).groups == (("one", "two"),)
    assert backing.find_groups(Cut(songs), ["one"]).groups == ()


def test_groups_are_closed_under_sharing():
    pairs = [("a", "b"), ("c", "d"), ("e", "f"), ("b", "d")]
    assert backing.closed(pairs) == (("a", "b", "c", "d"), ("e", "f"))


def test_stored_groups_rest_on_their_scores(tmp_path):
    stored = json.loads(mir1k.BACKING_FILE.read_text())
    pairs = [tuple(pair) for pair in stored["pairs"]]
    assert backing.closed((a, b) for _, a, b in pairs) == mir1k.backing_groups()
    assert stored["songs_compared"] == 110
    assert (stored["rate_hz"], stored["band_hz"]) == (backing.RATE, list(backing.BAND))
    assert stored["next_highest"][0] < stored["threshold"] == backing.THRESHOLD
    assert min(score for score, _, _ in pairs) > backing.THRESHOLD
    again = backing.Backing(
        mir1k.backing_groups(), tuple(pairs), tuple(stored["next_highest"]), 110
    )
    backing.write(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == mir1k.BACKING_FILE.read_text()


@needs_data
def test_real_songs_share_a_backing_track_or_do_not():
    songs = ["Kenshin_5", "davidson_3", "heycat_4", "titon_1", "Ani_2", "khair_2"]
    found = backing.find_groups(Mir1k(DATA), songs)
    assert found.groups == (("Kenshin_5", "davidson_3"), ("heycat_4", "titon_1"))
    assert found.next_highest is not None
    assert found.next_highest[0] < 15
    assert found.next_highest[1:] == ("Ani_2", "khair_2")
