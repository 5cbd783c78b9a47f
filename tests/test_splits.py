"""The splits of MIR-1K are what their names say, and the stored lists are what the code draws."""

import random

import pytest

from unmix.datasets import mir1k, splits
from unmix.datasets.track import PARTS
from unmix.errors import DatasetError

STORED = mir1k.stored_splits()
BY_SONG = ("paper", "leaky", "clean")
SONGS = {mir1k.song_of(name) for name in mir1k.index()}
BACKING = {song: group[0] for group in mir1k.backing_groups() for song in group}
SINGER = {song: mir1k.singer_of(song) for song in SONGS}


def sizes(split):
    return tuple(len(split[part]) for part in PARTS)


def test_stored_file_is_what_the_code_draws(tmp_path):
    mir1k.write_splits(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == mir1k.SPLITS_FILE.read_text()


@pytest.mark.parametrize("name", BY_SONG)
def test_each_song_stands_once(name):
    found = [song for part in PARTS for song in STORED[name]["songs"][part]]
    assert len(found) == len(set(found))
    assert set(found) | set(mir1k.left_out(name)) == SONGS
    assert not set(found) & set(mir1k.left_out(name))


def test_huang_has_the_published_counts_and_no_song_crosses_into_its_test_part():
    clips = STORED["huang"]["clips"]
    assert sizes(clips) == (171, 4, 825)
    assert clips["valid"] == ["abjones_5_08", "abjones_5_09", "amy_9_08", "amy_9_09"]
    assert {mir1k.singer_of(name) for name in clips["train"]} == {"abjones", "amy"}
    assert len({mir1k.singer_of(name) for name in clips["test"]}) == 17
    known = {mir1k.song_of(name) for name in clips["train"] + clips["valid"]}
    assert not known & {mir1k.song_of(name) for name in clips["test"]}
    assert sorted(name for part in PARTS for name in clips[part]) == list(mir1k.index())


def test_paper_has_the_paper_s_sizes_and_no_backing_track_in_two_parts():
    paper = STORED["paper"]["songs"]
    assert sizes(paper) == (50, 20, 40)
    assert splits.in_two_parts(paper, BACKING) == []
    for part in ("train", "test"):
        assert sum(set(group) <= set(paper[part]) for group in mir1k.backing_groups()) >= 3


def test_paper_has_the_smallest_seed_that_qualifies():
    units = splits.grouped(SONGS, mir1k.backing_groups())
    seed = int(STORED["paper"]["rule"].split()[1].rstrip(";"))
    assert splits.deal(units, mir1k.SIZES, seed) == STORED["paper"]["songs"]
    for smaller in range(seed):
        drawn = splits.deal(units, mir1k.SIZES, smaller)
        groups = mir1k.backing_groups()
        assert drawn is None or any(
            sum(set(group) <= set(drawn[part]) for group in groups) < 3
            for part in ("train", "test")
        )


def test_leaky_leaks_every_group_of_the_test_part_and_nothing_else_changes():
    paper, leaky = (STORED[name]["songs"] for name in ("paper", "leaky"))
    assert sizes(leaky) == (50, 20, 40)
    assert leaky["valid"] == paper["valid"]
    in_test = [g for g in mir1k.backing_groups() if set(g) <= set(paper["test"])]
    for group in in_test:
        assert len(set(group) & set(leaky["train"])) == 1
        assert len(set(group) & set(leaky["test"])) == len(group) - 1
    into_train = set(leaky["train"]) - set(paper["train"])
    into_test = set(paper["train"]) - set(leaky["train"])
    assert len(into_train) == len(into_test) == len(in_test)
    assert into_train <= set(BACKING)
    assert not into_test & set(BACKING)


def test_leak_songs_are_tested_in_both_and_their_backing_is_trained_on_in_leaky_alone():
    songs = mir1k.leak_songs()
    paper, leaky = (STORED[name]["songs"] for name in ("paper", "leaky"))
    assert len(songs) >= 3
    assert set(songs) <= set(paper["test"]) & set(leaky["test"])
    for song in songs:
        assert BACKING[song] in {BACKING.get(other) for other in leaky["train"]}
        assert BACKING[song] not in {BACKING.get(other) for other in paper["train"]}


def test_clean_shares_neither_singer_nor_backing_track():
    clean = STORED["clean"]["songs"]
    assert splits.in_two_parts(clean, BACKING) == []
    assert splits.in_two_parts(clean, SINGER) == []
    train, valid, test = sizes(clean)
    assert train >= 40
    assert valid >= 10
    assert test >= 30


def test_clean_leaves_out_as_few_songs_as_any_assignment_can():
    # Zero would need all singers that backing tracks connect in one part: too many songs.
    connected = {"leon"}
    while True:
        grown = connected | {
            SINGER[song]
            for group in mir1k.backing_groups()
            if {SINGER[s] for s in group} & connected
            for song in group
        }
        if grown == connected:
            break
        connected = grown
    songs = sum(singer in connected for singer in SINGER.values())
    assert len(SONGS) - songs < 10 + 30
    assert len(mir1k.left_out("clean")) == 1


def test_only_clean_leaves_songs_out():
    assert all(mir1k.left_out(name) == [] for name in ("paper", "leaky", "huang"))


# --- the generic helpers


def test_deal_keeps_units_together_and_gives_up_where_none_fits():
    split = splits.deal([["a", "b"], ["c"], ["d"]], {"train": 2, "test": 2}, seed=0)
    assert split is not None
    assert {len(part) for part in split.values()} == {2}
    assert splits.in_two_parts(split, {"a": "g", "b": "g"}) == []
    assert splits.deal([["a", "b"], ["c", "d"]], {"train": 3, "test": 1}, seed=0) is None


def test_deal_does_not_touch_the_global_generator():
    random.seed(3)
    first = random.random()
    random.seed(3)
    splits.deal([["a"], ["b"]], {"train": 1, "test": 1}, seed=0)
    assert random.random() == first


def test_in_two_parts_finds_the_group():
    split = {"train": ["a"], "valid": [], "test": ["b", "c"]}
    assert splits.in_two_parts(split, {"a": "x", "b": "x", "c": "y"}) == ["x"]


def test_impossible_wishes_are_refused():
    with pytest.raises(DatasetError, match=r"no split of 3 songs .*ask for fewer groups"):
        splits.deal_with_groups("abc", ["ab"], {"train": 2, "test": 1}, {"test": 1})
    with pytest.raises(DatasetError, match=r"too few ungrouped songs.*another seed"):
        splits.leak({"train": ["c"], "test": ["a", "b"]}, ["ab", "cd"], {}, 0)
    one = dict.fromkeys(PARTS, 1)
    with pytest.raises(DatasetError, match=r"no assignment of 1 artists.*ask for fewer songs"):
        splits.apart({"a": "x", "b": "x", "c": "x"}, [], one, one)
    with pytest.raises(DatasetError, match=r"unknown split 'b'.*one of a"):
        splits.stored_split({"a": {}}, "b")


def test_leak_prefers_a_song_by_the_same_artist():
    split = {"train": ["m", "n", "o"], "valid": [], "test": ["a", "b"]}
    artist = {"a": "x", "b": "y", "m": "z", "n": "x", "o": "z"}
    leaky = splits.leak(split, [["a", "b"]], artist, seed=0)
    assert leaky == {"train": ["a", "m", "o"], "valid": [], "test": ["b", "n"]}
    assert splits.leaked(split, leaky, [["a", "b"]]) == ["b"]


def test_apart_leaves_out_the_smaller_side_of_a_group():
    artist = {f"{a}{i}": a for a in "xyz" for i in range(3)}
    three = dict.fromkeys(PARTS, 3)
    two = dict.fromkeys(PARTS, 2)
    split, out = splits.apart(artist, [["x0", "x1", "y0"]], three, two)
    assert out == ["y0"]
    assert sorted(sizes(split)) == [2, 3, 3]
