"""Cross-validation in one run: every round learns anew, and each clip is tested once."""

import dataclasses

import numpy as np
import pytest

from unmix.errors import DatasetError
from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture
from unmix.runs import cluster, execute
from unmix.runs.cluster import complete
from unmix.runs.execute import key, restore, separated
from unmix.runs.rounds import Rounds, counts, rounds, splits
from unmix.runs.scene import scene
from unmix.runs.store import Store

SONGS = ("ann_1_01", "bob_1_01", "cat_1_01", "dan_1_01", "eve_1_01", "fay_1_01")
COUNT = 3


@pytest.fixture
def dataset(make_dataset, monkeypatch):
    """Six songs in three rounds, each of which tests two of them."""
    made = make_dataset()
    for number in range(COUNT):
        test = SONGS[2 * number : 2 * number + 2]
        valid = SONGS[2 * (number + 1) % len(SONGS)]
        train = [song for song in SONGS if song not in (*test, valid)]
        made.splits[f"round-{number + 1}-of-{COUNT}"] = {
            "train": train,
            "valid": (valid,),
            "test": test,
        }
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: made)
    return made


@pytest.fixture
def spec(small_spec):
    training = dataclasses.replace(small_spec.training, epochs=2)
    return dataclasses.replace(small_spec, split=f"rounds-of-{COUNT}", training=training)


def carried_out(spec, folder):
    return complete([spec], Store(folder), workers=1, device="cpu")[0]


def test_a_name_stands_for_its_rounds():
    assert splits("rounds-of-2") == ("round-1-of-2", "round-2-of-2")
    for name in ("paper", "round-1-of-2", "rounds-of-0", "rounds-of-2x"):
        assert splits(name) == (name,)


def test_every_song_is_tested_once_by_a_network_that_never_heard_it(spec, dataset, tmp_path):
    run = carried_out(spec, tmp_path)
    assert run.scores()["clip"].tolist() == list(SONGS)
    assert run.provenance()["clips"] == {"train": 3, "valid": 1, "test": 6}
    history = run.history()
    assert history["round"].tolist() == [1, 1, 2, 2, 3, 3]
    assert history["epoch"].tolist() == [0, 1] * COUNT
    assert not [path for path in run.folder.iterdir() if path.is_dir()]

    # Each round by itself gives the same scores.
    for number in range(1, COUNT + 1):
        alone = dataclasses.replace(spec, split=f"round-{number}-of-{COUNT}")
        found = carried_out(alone, tmp_path / "alone").scores()
        ours = run.scores()
        ours = ours[ours["clip"].isin(found["clip"])].reset_index(drop=True)
        assert ours.equals(found)


def test_a_clip_is_separated_by_the_round_that_tests_it(spec, dataset, tmp_path):
    restored = restore(spec, carried_out(spec, tmp_path).weights)
    assert isinstance(restored, Rounds)
    mixed = [scene(dataset.load(name, spec.rate), spec.mixing) for name in (SONGS[0], SONGS[5])]
    for each, number in zip(mixed, (0, 2), strict=True):
        wanted = restored.separators[number].separate(each.mixture)
        for name, sound in separated(spec, restored, each).items():
            assert np.array_equal(sound, wanted[name])
    others = restored.separators[0].separate(mixed[1].mixture)
    assert not np.array_equal(others["voice"], separated(spec, restored, mixed[1])["voice"])
    # What no round knows is the first one's.
    unknown = restored.separate(mixed[1].mixture)
    assert np.array_equal(unknown["voice"], others["voice"])


@pytest.mark.parametrize("separator", [Mixture(), ConvolutiveNmf(4, 2, 5, 5)])
def test_what_learns_otherwise_or_not_at_all_goes_in_rounds_too(spec, dataset, tmp_path, separator):
    plain = dataclasses.replace(spec, separator=separator, training=None)
    run = carried_out(plain, tmp_path)
    assert run.scores()["clip"].tolist() == list(SONGS)
    assert run.scores()["sdr"].notna().all()
    restored = restore(plain, run.weights)
    assert isinstance(restored, Rounds) == run.weights.exists()


def test_a_finished_round_is_kept_when_the_run_is_interrupted(spec, dataset, tmp_path, monkeypatch):
    wanted = carried_out(spec, tmp_path / "undisturbed")
    learn, learnt = execute.learn, []

    def failing(spec, dataset, parts, *rest):
        if len(learnt) == 1:
            raise KeyboardInterrupt
        learnt.append(parts["test"])
        return learn(spec, dataset, parts, *rest)

    monkeypatch.setattr(execute, "learn", failing)
    with pytest.raises(KeyboardInterrupt):
        carried_out(spec, tmp_path / "disturbed")
    again = []
    monkeypatch.setattr(
        execute, "learn", lambda *given: again.append(given[2]["test"]) or learn(*given)
    )
    run = carried_out(spec, tmp_path / "disturbed")
    assert learnt == [list(SONGS[:2])]
    assert again == [list(SONGS[2:4]), list(SONGS[4:])]
    for name in ("scores.csv", "model.safetensors"):
        assert (run.folder / name).read_bytes() == (wanted.folder / name).read_bytes()
    assert run.provenance()["resumed"] is True
    assert wanted.provenance()["resumed"] is False
    columns = ["round", "epoch", "train_loss", "valid_loss"]
    assert run.history()[columns].equals(wanted.history()[columns])


def test_rounds_that_share_a_song_are_refused(spec, dataset):
    dataset.splits["round-2-of-3"] = dataset.splits["round-1-of-3"]
    with pytest.raises(DatasetError, match="a clip is tested in two rounds"):
        rounds(spec, dataset)


def test_the_key_knows_every_round(spec, dataset):
    before = key(spec, dataset)
    last = dataset.splits["round-3-of-3"]
    dataset.splits["round-3-of-3"] = {**last, "train": last["train"][:1]}
    assert key(spec, dataset) != before


def test_counts_are_of_all_that_is_tested_and_of_the_largest_round():
    found = [
        {"train": ["a", "b"], "valid": ["c"], "test": ["d"]},
        {"train": ["a"], "valid": ["b"], "test": ["c", "e"]},
    ]
    assert counts(found) == {"train": 2, "valid": 1, "test": 3}
    assert counts(found[:1]) == {"train": 2, "valid": 1, "test": 1}
