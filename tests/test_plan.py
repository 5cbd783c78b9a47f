"""The plan: what is to do, how long it takes, and from what that is known."""

import dataclasses
import json

import pytest

from aids import TINY, fabricate, refused, scores, spec_of
from unmix.commands.plan import duration, size
from unmix.datasets.catalogue import open_dataset
from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture
from unmix.models.recurrent import RecurrentNetwork
from unmix.runs import plan
from unmix.runs.execute import key
from unmix.runs.store import Store

pytestmark = pytest.mark.usefixtures("standin_cache")

CLIPS = {"train": 100, "valid": 10, "test": 50}
TABLE = scores(a_1=1.0)


@pytest.fixture
def base(small_spec):
    """A training of 4 epochs."""
    return small_spec


@pytest.fixture
def stored(tmp_path):
    """Write a run that says what it took; returns what a plan takes from it."""

    def write(name, spec, learning, wall, memory=500, epochs=0, clips=CLIPS, **more):
        more = {"repeatable": True, "wall_s": wall, "peak_memory_mb": memory} | more
        more |= {"learning_s": learning, "clips": clips}
        history = [0.5] * (epochs or (spec.training.epochs if spec.training else 0))
        fabricate(tmp_path / "known" / name, spec, "stand-in", TABLE, history, **more)
        return plan.known(Store(tmp_path / "known").runs())

    return write


# Estimates.


def test_the_same_settings_with_other_seeds_tell_it(base, stored):
    for seed, wall in enumerate((100.0, 300.0, 110.0)):
        like = stored(f"run{seed}", base.with_seed(seed), 90.0, wall, memory=500 + seed)
    found = plan.estimate(base.with_seed(7), CLIPS, like)
    assert found == (pytest.approx(110.0), 502.0, "median of 3 runs of the same settings")


def test_else_the_nearest_run_scaled_by_clips_and_epochs(base, stored):
    wide = dataclasses.replace(base, separator=RecurrentNetwork(units=24))
    far = dataclasses.replace(wide, separator=RecurrentNetwork(units=48, context=3))
    like = stored("far0far0far0", far, 1000.0, 1100.0)
    # It ended after two of its four epochs: 25 s an epoch.
    like = stored("near0near0", wide, 50.0, 70.0, epochs=2)
    clips = {"train": 300, "valid": 10, "test": 25}
    seconds, memory, how = plan.estimate(base, clips, like)
    assert seconds == pytest.approx(50.0 * 3 * 2 + 20.0 * 0.5)
    assert memory == pytest.approx(300.0 + 200.0 * 3)
    assert how == "run near0nea, 1 setting apart: learning x 6, scoring x 0.5"


def test_iterations_count_where_there_are_no_epochs_and_another_dataset_is_named(base, stored):
    long = dataclasses.replace(
        base, separator=ConvolutiveNmf(4, iterations=100), training=None, dataset="mir1k"
    )
    like = stored("long", long, 50.0, 70.0)
    short = dataclasses.replace(base, separator=ConvolutiveNmf(4, iterations=20), training=None)
    seconds, _, how = plan.estimate(short, CLIPS, like)
    assert seconds == pytest.approx(50.0 / 5 + 20.0)
    assert how == "run long on mir1k, 2 settings apart: learning x 0.2, scoring x 1"


def test_fewer_clips_are_not_promised_less_memory(base, stored):
    wide = dataclasses.replace(base, separator=RecurrentNetwork(units=24))
    like = stored("near", wide, 50.0, 70.0, memory=2000)
    _, memory, _ = plan.estimate(base, {**CLIPS, "train": 10}, like)
    assert memory == 2000.0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"separator": RecurrentNetwork(layers=2)}, "no known run of separator recurrent with 2"),
        ({"separator": ConvolutiveNmf(4), "training": None}, "no known run of separator nmf"),
        ({"separator": Mixture(), "training": None}, "no known run of separator mixture"),
    ],
)
def test_another_kind_or_depth_tells_nothing(base, stored, change, why):
    like = stored("run", base, 50.0, 70.0)
    seconds, memory, how = plan.estimate(dataclasses.replace(base, **change), CLIPS, like)
    assert (seconds, memory) == (None, None)
    assert how.startswith(why)


def test_scores_of_the_referee_take_another_time(base, stored):
    evaluation = dataclasses.replace(base.evaluation, backend="museval")
    referee = dataclasses.replace(base, evaluation=evaluation)
    like = stored("run", base, 50.0, 70.0)
    why = "no known run of separator recurrent with 1 layer, scored by museval"
    assert plan.estimate(referee, CLIPS, like)[2] == why


def test_runs_that_do_not_say_what_they_took_are_left_out(base, stored, tmp_path):
    fabricate(tmp_path / "known" / "old", base, "stand-in", TABLE)
    broken = fabricate(tmp_path / "known" / "broken", base, "stand-in", TABLE)
    (broken.folder / "provenance.json").write_text("{")
    (item,) = stored("whole", base, 50.0, 70.0)
    assert (item.key, item.learning_s, item.rest_s, item.passes) == ("whole", 50.0, 20.0, 4)


# Plans.


@pytest.mark.parametrize(
    ("seconds", "workers", "total"),
    [
        ([], 3, 0.0),
        ([5, 4, 3], 1, 12),
        ([3, 3, 4, 5, 5], 2, 11),
        ([2, 2, 2, 6], 2, 6),
        ([1, 9], 64, 9),
    ],
)
def test_the_longest_job_goes_first(seconds, workers, total):
    assert plan.makespan(seconds, workers) == total


def test_a_plan_lists_what_is_not_stored_each_once(base, stored, tmp_path, make_dataset):
    dataset = make_dataset()
    opened = {(base.dataset, base.clips): dataset}
    mixture = dataclasses.replace(base, separator=Mixture(), training=None)
    specs = [base.with_seed(seed) for seed in (0, 1, 2, 1)] + [mixture]
    stored("other", base.with_seed(9), 40.0, 50.0)
    stored("gpu", base.with_seed(8), 4.0, 5.0, repeatable=False)
    done = Store(tmp_path / "store")
    fabricate(done.root / key(base, dataset), base, "stand-in", TABLE)
    evidence = Store(tmp_path / "known").runs()
    found = plan.make(specs, list("abcdm"), opened, done, evidence, "cpu")
    assert found.stored == 1
    assert [(run.label, run.seconds) for run in found.runs] == [("b", 50), ("c", 50), ("m", None)]
    assert [run.label for run in found.unknown] == ["m"]
    assert [found.seconds(count) for count in (1, 8, 64)] == [100.0, 50.0, 50.0]
    assert found.memory_mb == 500.0
    on_gpu = plan.make(specs, list("abcdm"), opened, done, evidence, "cuda:1")
    assert (on_gpu.device, on_gpu.seconds(1)) == ("cuda", 10.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7380, "2 h 03 min")],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words


def test_sizes_in_words():
    assert (size(None), size(2640.0)) == ("?", "2.6 GB")


# The command.


def test_the_command_as_json_and_for_people(store, unmix, monkeypatch):
    """The store holds both rows of Table II; a third run tells nothing about Table IV's depths."""
    spec = spec_of(TINY, "Augmented")
    took = {"wall_s": 80.0, "peak_memory_mb": 1200, "repeatable": True, "learning_s": 60.0}
    took["clips"] = {"train": 6, "valid": 2, "test": 3}
    fabricate(store.root / "seed9", spec.with_seed(9), "stand-in", TABLE, (0.5, 0.2), **took)
    words = ("parwal/table2", "--profile", "tiny", "--store", store.root)
    status, out, _ = unmix("plan", *words, "--device", "cpu")
    assert (status, out) == (0, "2 runs are stored, 0 are to do.\n")
    status, out, err = unmix("plan", *words, "--device", "cpu", "--seeds", "2", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["stored"], found["not_estimated"], found["device"]) == (2, 0, "cpu")
    assert [run["label"] for run in found["runs"]] == [
        "table2: Not augmented, seed 1",
        "table2: Augmented, seed 1",
    ]
    assert [run["seconds"] for run in found["runs"]] == [80.0, 80.0]
    assert found["seconds"] == {"1": 160.0, "8": 80.0, "64": 80.0}
    assert found["peak_memory_mb"] == 1200.0
    monkeypatch.setenv("COLUMNS", "120")
    words = ("parwal/table4", "--profile", "tiny", "--store", store.root, "--device", "cpu")
    _, out, _ = unmix("plan", *words)
    assert "no known run of separator recurrent with 3 layers" in out
    said = "They take 1 min 20 s on 1 worker, 1 min 20 s on 8 workers, 1 min 20 s on 64 workers, "
    assert said + "with 1.2 GB each at most." in out
    assert "Not in these sums: 6 that cannot be estimated." in out


def test_keys_are_those_of_the_engine(store):
    """What the store fixture holds under tiny is what the engine looks for."""
    spec = spec_of(TINY, "Augmented")
    dataset = open_dataset(spec.dataset, None, spec.clips)
    assert store.get(key(spec, dataset)) is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plan parwal/", "names no experiment. Expected: parwal for all"),
        ("plan parwel", "unknown paper 'parwel'"),
        ("plan parwal/table2 --profile tiny --device tpu", "unknown device 'tpu'"),
        ("plan parwal/table2 --profile full", "mir1k: no folder with datasets is set"),
    ],
)
def test_bad_input_is_one_message(results, unmix, words, said):
    refused(unmix(*words.split()), said)
