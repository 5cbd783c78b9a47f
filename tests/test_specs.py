"""Specs: there and back as plain data, and errors for what they cannot say."""

import dataclasses
import json
import pickle

import pytest

from unmix.errors import CheckpointError, SpecError, StoreError, one_of
from unmix.models.oracle import Oracle
from unmix.papers.experiment import (
    PAPERS,
    PROFILES,
    Setting,
    experiment,
    experiments,
    paper,
    profile,
)
from unmix.runs import execute
from unmix.runs.spec import Mixing, spec_from_plain


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
