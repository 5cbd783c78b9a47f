"""Specs: there and back as plain data, errors for what they cannot say, and keys that hold."""

import dataclasses
import json
import pickle
import sys
from pathlib import Path

import pytest

import unmix
from unmix.errors import CheckpointError, SpecError, StoreError, one_of
from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture, Oracle
from unmix.papers.experiment import (
    PAPERS,
    PROFILES,
    Setting,
    experiment,
    experiments,
    paper,
    profile,
)
from unmix.runs import execute, source
from unmix.runs.execute import code_modules, key
from unmix.runs.spec import Evaluation, Mixing, Spec, spec_from_plain
from unmix.stft import STFT
from unmix.training.losses import Loss


def all_specs():
    for name in PAPERS:
        for size in PROFILES.values():
            for real in (False, True):
                for found in experiments(name, Setting(size, real)).values():
                    for row in found.rows:
                        yield row.spec


# Plain data.


def test_every_spec_of_every_paper_survives_json():
    specs = list(all_specs())
    assert len(specs) > 100
    for spec in specs:
        back = spec_from_plain(json.loads(json.dumps(spec.plain())))
        assert back == spec
        assert back.identity() == spec.identity()


def test_specs_of_other_settings_have_other_identities():
    specs = set(all_specs())
    assert len({spec.identity() for spec in specs}) == len(specs)


def test_seeds_make_one_family(small_spec):
    seeds = [small_spec.with_seed(seed) for seed in range(3)]
    assert len({spec.identity() for spec in seeds}) == 3
    assert len({spec.family() for spec in seeds}) == 1
    assert dataclasses.replace(small_spec, split="other").family() != small_spec.family()


def test_whole_numbers_may_stand_for_floats(small_spec):
    data = small_spec.plain()
    data["mixing"]["snr_db"] = 5
    assert spec_from_plain(data).mixing.snr_db == 5.0
    assert spec_from_plain(data) == dataclasses.replace(small_spec, mixing=Mixing(5.0))


def changed(data, path, value):
    data = json.loads(json.dumps(data))
    *way, last = path.split(".")
    inner = data
    for name in way:
        inner = inner[name]
    inner[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sead", 1, r"unknown setting in spec: 'sead' \(did you mean 'seed'\?\)"),
        ("training.epoch", 1, r"setting in spec\.training: 'epoch' \(did you mean 'epochs'\?\)"),
        (
            "training.loss.kind",
            "kl",
            r"setting in spec\.training\.loss: 'kind'.*Expected: divergence",
        ),
        ("separator.unit", 3, r"setting in separator: 'unit' \(did you mean 'units'\?\)"),
        (
            "separator.kind",
            "recurr",
            r"unknown separator 'recurr' \(did you mean 'recurrent'\?\)",
        ),
        ("separator.units", "many", r"separator\.units is 'many'\. Expected: a value of type int"),
        ("separator.units", True, r"separator\.units is True"),
        ("separator.units", 2.5, r"separator\.units is 2\.5"),
        ("training.augmentation", 1, r"training\.augmentation is 1\. Expected: .* type bool"),
        ("training.rate", "fast", r"training\.rate is 'fast'\. Expected: .* type float"),
        ("training", [1], r"spec\.training: \[1\]\. Expected: settings of Training"),
        ("mixing.snr_db", None, r"mixing\.snr_db is None"),
        ("clips", 3, r"spec\.clips is 3\. Expected: a value of type tuple"),
        ("dataset", 3, r"spec\.dataset is 3\. Expected: a value of type str"),
        ("stft.hop", 4096, "an STFT with window 256, hop 4096"),
        ("stft.shape", "round", "unknown window shape 'round'"),
        ("training.loss.divergence", "ml", "unknown divergence 'ml'"),
        ("evaluation.taps", 0, "0 taps"),
        ("evaluation.source", "drums", "unknown source 'drums'"),
        ("evaluation.mask", "sift", r"unknown mask 'sift' \(did you mean 'soft'\?\)"),
        ("evaluation.backend", "matlab", "unknown backend 'matlab'"),
        ("evaluation.version", "4", "unknown BSS Eval version '4'"),
        ("training", None, "a spec with separator 'recurrent' and no training"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(small_spec, path, value, message):
    with pytest.raises(SpecError, match=message):
        spec_from_plain(changed(small_spec.plain(), path, value))


def test_a_spec_lacks_nothing_it_needs(small_spec):
    data = small_spec.plain()
    del data["dataset"]
    with pytest.raises(SpecError, match="dataset"):
        spec_from_plain(data)
    for nothing in (None, [], {}, {"separator": "recurrent"}):
        with pytest.raises(SpecError, match="is no spec"):
            spec_from_plain(nothing)
    with pytest.raises(SpecError, match="unknown separator ''"):
        spec_from_plain({"separator": {}})


def test_only_networks_are_trained(small_spec):
    with pytest.raises(SpecError, match="separator 'oracle' and training"):
        dataclasses.replace(small_spec, separator=Oracle())


def test_a_setting_that_came_later_leaves_older_identities_alone(small_spec):
    """The identity of a spec as evidence from before `backend` has it."""
    data = small_spec.plain()
    assert "backend" not in data["evaluation"]
    asked = dataclasses.replace(
        small_spec, evaluation=dataclasses.replace(small_spec.evaluation, backend="museval")
    )
    assert asked.plain()["evaluation"]["backend"] == "museval"
    assert asked.identity() != small_spec.identity()
    for spec in (small_spec, asked):
        assert spec_from_plain(spec.plain()) == spec


# Names.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: profile("quik"), r"unknown profile 'quik' \(did you mean 'quick'\?\)"),
        (lambda: paper("parval"), r"unknown paper 'parval' \(did you mean 'parwal'\?\)"),
        (
            lambda: experiment("parwal", "table5", Setting(PROFILES["tiny"], False)),
            r"unknown experiment of parwal: 'table5' \(did you mean 'table4'\?\).*Expected: table1",
        ),
        (lambda: execute.resolve_device("gpu"), "unknown device 'gpu'.*auto, cpu, cuda or cuda:N"),
        (lambda: execute.resolve_device("cpu:1"), "unknown device 'cpu:1'"),
        (lambda: execute.resolve_device("cuda:x"), "unknown device 'cuda:x'"),
        (
            lambda: execute.resolve_device("cuda:99"),
            r"device 'cuda:99' is not there .*--device cpu",
        ),
    ],
)
def test_unknown_names_are_refused(call, message):
    with pytest.raises(SpecError, match=message):
        call()


def test_a_name_that_resembles_nothing_gets_no_hint():
    assert one_of("split", "xyzzy", ["paper", "clean"]) == "unknown split 'xyzzy'"


@pytest.mark.parametrize("kind", [SpecError, StoreError, CheckpointError])
def test_errors_come_back_whole_from_a_worker(kind):
    error = kind("found it", expected="another", do="this")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == "found it. Expected: another. What to do: this."
    assert (back.found, back.expected, back.do) == ("found it", "another", "this")


# Keys.


def test_a_key_is_the_same_for_the_same(small_spec, make_dataset):
    again = spec_from_plain(small_spec.plain())
    assert key(small_spec, make_dataset()) == key(again, make_dataset())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"clips": (2, 1, 1)},
        {"mixing": Mixing(5.0)},
        {"stft": STFT(8000, 256, 64)},
        {"evaluation": Evaluation(taps=9)},
        {"evaluation": Evaluation(taps=8, mask="binary")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_key_changes_with_any_setting(small_spec, make_dataset, changes):
    other = dataclasses.replace(small_spec, **changes)
    assert key(other, make_dataset()) != key(small_spec, make_dataset())


def test_a_key_changes_with_network_and_training(small_spec, make_dataset):
    network = dataclasses.replace(small_spec.separator, units=13)
    training = dataclasses.replace(small_spec.training, loss=Loss("kl"))
    keys = {
        key(dataclasses.replace(small_spec, **changes), make_dataset())
        for changes in ({}, {"separator": network}, {"training": training})
    }
    assert len(keys) == 3


def test_a_key_changes_with_data_and_with_the_list_of_a_split(small_spec, make_dataset):
    before = key(small_spec, make_dataset())
    assert key(small_spec, make_dataset(seed=1)) != before
    moved = make_dataset()
    moved.splits["standin"] = {**moved.splits["standin"], "valid": ("dan_1_01",)}
    assert key(small_spec, moved) != before


def test_a_key_changes_with_code_and_libraries(small_spec, make_dataset, monkeypatch):
    before = key(small_spec, make_dataset())
    with monkeypatch.context() as patch:
        patch.setattr(source, "fingerprint", lambda modules: "edited")
        assert key(small_spec, make_dataset()) != before
    for library in (execute.torch, execute.np):
        with monkeypatch.context() as patch:
            patch.setattr(library, "__version__", "99")
            assert key(small_spec, make_dataset()) != before
    assert key(small_spec, make_dataset()) == before


# The fingerprint of the code.


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Write modules of a package that the fingerprint looks into, and return its fingerprint."""
    package = tmp_path / "unmix_trial"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def fingerprint(**modules):
        for name, text in modules.items():
            (package / f"{name}.py").write_text(text)
        source._tree.cache_clear()
        return source.fingerprint(["unmix_trial.top"])

    yield fingerprint
    source._tree.cache_clear()
    for name in [name for name in sys.modules if name.startswith("unmix_trial")]:
        del sys.modules[name]


TOP = '''"""Do it."""
from unmix_trial.low import half

def twice(x):
    """Twice."""
    return x / half
'''
LOW = "half = 0.5\n"


def test_comments_docstrings_and_layout_are_no_change(trial):
    before = trial(top=TOP, low=LOW)
    told = TOP.replace('"""Twice."""', '"""Return x\n\n    twice."""\n    # why').replace(
        "Do it", "So"
    )
    assert trial(top=told.replace("x / half", "(x\n        / half)"), low=LOW) == before
    assert trial(top=TOP, low='"""The half."""\nhalf = 0.5\n"""A half."""\n') == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x / half", "x * half"),
        ("x / half", "x / half / 1.0"),
        ("(x)", "(x, y=0)"),
        ("twice", "double"),
    ],
)
def test_any_other_edit_is_a_change(trial, old, new):
    before = trial(top=TOP, low=LOW)
    assert trial(top=TOP.replace(old, new), low=LOW) != before


@pytest.mark.parametrize(
    "line",
    ["from unmix_trial.low import half", "import unmix_trial.low", "from unmix_trial import low"],
)
def test_what_is_imported_counts_wherever_the_import_stands(trial, line):
    for top in (f"{line}\n", f"def run():\n    {line}\n"):
        assert trial(top=top, low=LOW) != trial(top=top, low="half = 0.25\n")


def test_other_modules_do_not_count(trial):
    before = trial(top=TOP, low=LOW, beside="x = 1\n")
    assert trial(top=TOP, low=LOW, beside="x = 2\n") == before


def test_all_that_produces_a_score_counts_and_no_more(small_spec):
    network = set(source.producing_modules(code_modules(small_spec)))
    assert {
        "unmix.audio",
        "unmix.masks",
        "unmix.metrics.bsseval",
        "unmix.metrics.scores",
        "unmix.models.recurrent",
        "unmix.models.separator",
        "unmix.runs.execute",
        "unmix.stft",
        "unmix.training.examples",
        "unmix.training.losses",
        "unmix.training.minibatch",
        "unmix.datasets.synthetic",
    } <= network
    assert not {"unmix.models.nmf", "unmix.models.oracle"} & network
    assert not [name for name in network if name.startswith(("unmix.report", "unmix.papers"))]
    plain = dataclasses.replace(small_spec, separator=ConvolutiveNmf(), training=None)
    assert "unmix.models.nmf" in source.producing_modules(code_modules(plain))
    real = Spec("mir1k", "paper", Mixture())
    assert "unmix.datasets.mir1k" in source.producing_modules(code_modules(real))


def test_the_code_of_one_dataset_does_not_count_for_another(small_spec):
    counted = source.producing_modules(code_modules(small_spec))
    assert not {"unmix.datasets.mir1k", "unmix.datasets.remote"} & set(counted)


def test_no_module_imports_in_a_way_that_the_fingerprint_overlooks():
    for path in Path(unmix.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not line.lstrip().startswith("from ."), f"{path.name}: relative import"
