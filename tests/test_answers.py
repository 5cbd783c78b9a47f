"""Several sources wanted at once, several answers to a mixture, and what a run says of itself."""

import json
from dataclasses import replace

import numpy as np
import pytest

from aids import fabricate
from unmix.datasets.track import Clip, Track
from unmix.errors import DatasetError, SpecError, StoreError
from unmix.metrics.means import global_scores, selected
from unmix.models.oracle import Mixture
from unmix.papers.evidence import Evidence
from unmix.papers.experiment import Row
from unmix.runs.execute import answers, evaluate, separated
from unmix.runs.scene import complete, scene, scenes
from unmix.runs.spec import EVERY, Evaluation, Mixing, Spec, spec_from_plain
from unmix.stft import STFT

RATE = 8000
TRIO = ("horn", "piano", "violin")
RECORDED = Mixing(level="recorded", targets=TRIO)


def trio(*names, number=0):
    rng = np.random.default_rng(number)
    sounds = {
        name: (0.1 * (1 + j) * rng.standard_normal((1, RATE))).astype(np.float32)
        for j, name in enumerate(names or TRIO)
    }
    return Track(Clip(f"piece_{number}", f"piece_{number}"), RATE, sounds)


@pytest.fixture
def spec():
    return Spec(
        dataset="synthetic-voice",
        split="standin",
        separator=Mixture(),
        mixing=RECORDED,
        stft=STFT(rate=RATE, window=256, hop=128),
        evaluation=Evaluation(taps=8, source=EVERY),
    )


class Two:
    """Answers twice: with a little noise on each source, then with less."""

    def answers(self, mixture, references):
        noise = (0.1 * np.random.default_rng(99).standard_normal(mixture.shape)).astype(np.float32)
        return {
            name: {source: sound + gain * noise for source, sound in references.items()}
            for name, gain in (("rough", 1.0), ("fine", 0.1))
        }

    def separate(self, mixture, references=None):
        return self.answers(mixture, references)["fine"]


def test_recorded_levels_are_kept_and_add_up():
    track = trio()
    mixed = scene(track, RECORDED)
    assert list(mixed.references) == list(TRIO)
    for name, sound in track.sources.items():
        assert np.array_equal(mixed.references[name], sound)
    assert np.allclose(mixed.mixture, sum(track.sources.values()), atol=1e-7)


def test_only_targets_are_heard_and_a_solo_recording_has_one():
    (solo,) = scenes([trio("piano")], RECORDED)
    assert list(solo.references) == ["piano"]
    assert np.array_equal(solo.mixture, solo.references["piano"])
    mixed = scene(trio(*TRIO, "drums"), RECORDED)
    assert list(mixed.references) == list(TRIO)


def test_a_clip_without_a_target_and_one_that_lacks_a_source_to_score_are_refused(spec):
    with pytest.raises(SpecError, match="piece_0 has drums"):
        scene(trio("drums"), RECORDED)
    with pytest.raises(DatasetError, match="piece_0: without horn, violin"):
        complete(scene(trio("piano"), RECORDED), TRIO)
    with pytest.raises(DatasetError, match="without horn, violin"):
        evaluate(spec, iter([trio("piano")]), Two())


@pytest.mark.parametrize(
    "mixing", [{"level": "recorded"}, {"targets": TRIO}, {"level": "song", "targets": TRIO}]
)
def test_targets_belong_to_recorded_levels(mixing):
    with pytest.raises(SpecError, match=r"levels by .*targets"):
        Mixing(**mixing)


def test_a_spec_with_targets_survives_its_plain_form(spec):
    assert spec_from_plain(json.loads(json.dumps(spec.plain()))) == spec
    assert spec.scored == TRIO
    assert replace(spec, evaluation=Evaluation(source="piano")).scored == ("piano",)
    with pytest.raises(SpecError, match="unknown source 'voice'"):
        replace(spec, evaluation=Evaluation(source="voice"))


def test_every_answer_and_source_has_a_row_and_the_last_answer_counts(spec):
    table = evaluate(spec, iter([trio(), trio(number=1)]), Two())
    assert len(table) == 2 * 2 * 3
    found = selected(table, {"source": "violin", "variant": "rough"})
    assert found["clip"].tolist() == ["piece_0", "piece_1"]
    for source in TRIO:
        rough, fine = (
            selected(table, {"source": source, "variant": name})["sdr"]
            for name in ("rough", "fine")
        )
        assert np.allclose(fine - rough, 20.0, atol=1.0), "ten times less noise"
    assert selected(table).equals(selected(table, {"variant": "fine"}))
    assert global_scores(selected(table))["clips"] == 6
    assert selected(table, {"part": "train"}).empty
    assert selected(table, {"band": "low"}).empty


def test_the_answer_that_is_named_is_given_out_and_else_the_last(spec):
    mixed, separator = scene(trio(), RECORDED), Two()
    both = answers(spec, separator, mixed)
    assert list(both) == ["rough", "fine"]
    for variant, wanted in (("rough", "rough"), ("", "fine")):
        found = separated(spec, separator, mixed, variant)
        assert np.array_equal(found["horn"], both[wanted]["horn"])


def test_a_run_gives_the_rows_of_an_answer_and_misses_none(spec, tmp_path):
    table = evaluate(spec, iter([trio()]), Two())
    run = fabricate(tmp_path / "run", spec, "full", table, clips={"test": 1})
    assert len(run.scores()) == 3
    assert len(run.scores({"variant": "rough", "source": "horn"})) == 1
    item = Evidence(Row({"instrument": "horn"}, spec, {"source": "horn"}), (run,))
    horn = selected(table, {"source": "horn"})
    assert item.globals()["SDR"].tolist() == pytest.approx(horn["sdr"].tolist())
    cut = fabricate(tmp_path / "cut", spec, "full", table.iloc[:-1], clips={"test": 1})
    with pytest.raises(StoreError, match=r"holds 5 rows.*6, 6 for each test clip"):
        cut.scores()


def test_a_row_may_show_what_a_run_found_out(spec, tmp_path):
    run = fabricate(
        tmp_path / "run",
        spec,
        "full",
        evaluate(spec, iter([trio()]), Mixture().fit([], spec.stft, 0, TRIO)),
    )
    (run.folder / "findings.json").write_text(json.dumps({"piano": {"J": 0.25}}))
    item = Evidence(Row({"instrument": "piano"}, spec, {"finding": "piano"}), (run,))
    assert item.globals().to_dict("records") == [{"J": 0.25, "clips": 0, "unscored": 0}]
    with pytest.raises(StoreError, match=r"unknown finding of .*'pianos'.*did you mean 'piano'"):
        run.findings("pianos")
