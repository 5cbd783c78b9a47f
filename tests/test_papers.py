"""The published tables are the paper's, and the experiments are the published tables'."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from unmix.errors import SpecError
from unmix.papers import parwal
from unmix.papers.experiment import PROFILES, Setting, experiment, experiments, paper, profile
from unmix.papers.published import published, tables
from unmix.runs.spec import Evaluation, spec_from_plain
from unmix.training.losses import Loss

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT.parent / "shared" / "papers" / "parwal.txt"
NUMERALS = {"table1": "I", "table2": "II", "table3": "III", "table4": "IV"}
SETTINGS = [
    Setting(PROFILES["tiny"], False),
    Setting(PROFILES["quick"], False),
    Setting(PROFILES["quick"], True),
    Setting(PROFILES["full"], True),
]


@pytest.fixture(params=SETTINGS, ids=lambda s: f"{s.profile.name}-{'real' if s.real else 'made'}")
def setting(request):
    return request.param


def specs(name, setting):
    """The rows' specs of an experiment by their labels."""
    rows = experiment("parwal", name, setting).rows
    return {", ".join(row.keys.values()): row.spec for row in rows}


def label(words):
    """A row's label as the CSV has it, from how the paper prints it."""
    words = re.sub(r" layers$", "", words.strip())
    return {"Both, before mak": "Both, before mask", "Not Augmented": "Not augmented"}.get(
        words, words
    )


def printed(numeral):
    """A table of the paper's text: labels and numbers of each row, and the metrics."""
    if not TEXT.is_file():
        pytest.skip("the paper's text does not lie beside the checkout")
    lines = TEXT.read_text(encoding="utf-8").splitlines()
    (start,) = [n for n, line in enumerate(lines) if line.startswith(f"TABLE {numeral}. ")]
    body = []
    for line in lines[start + 1 :]:
        if line.strip():
            body.append(line.split("\t"))
        elif body:
            break
    head, *rows = body
    keys = len(head) - 3
    return head[keys:], {
        tuple(map(label, row[:keys])): [float(value) for value in row[keys:]] for row in rows
    }


@pytest.mark.parametrize("name", NUMERALS)
def test_published_tables_are_what_the_paper_prints(name):
    metrics, rows = printed(NUMERALS[name])
    table = published("parwal", name)
    keys = list(table.columns[: table.columns.get_loc("metric")])
    found = {}
    for line in table.to_dict("records"):
        found.setdefault(tuple(line[key] for key in keys), {})[line["metric"]] = line["value"]
    assert list(found) == list(rows), "rows, in the printed order"
    for row, values in rows.items():
        assert found[row] == dict(zip(metrics, values, strict=True)), row


def test_misprints_are_noted_as_the_paper_has_them():
    if not TEXT.is_file():
        pytest.skip("the paper's text does not lie beside the checkout")
    text = TEXT.read_text(encoding="utf-8")
    noted = 0
    for name in NUMERALS:
        for note in published("parwal", name)["note"]:
            quoted = re.findall(r'printed "([^"]+)"', note)
            assert bool(quoted) == bool(note)
            assert all(f"\n{words}\t" in text for words in quoted)
            noted += len(quoted)
    assert noted == 3


def test_the_papers_own_training_is_what_it_prints():
    assert parwal.BUDGET == "1000 epochs, one chunk a step"
    if not TEXT.is_file():
        pytest.skip("the paper's text does not lie beside the checkout")
    said = " ".join(TEXT.read_text(encoding="utf-8").split())
    assert "training was done on 1000 epochs with batch size of 1." in said
    assert "Data is generated in 4 second chunks" in said


def test_figures_have_a_notebook_and_an_experiment(setting):
    assert parwal.FIGURES == {"figure2": "table4"}
    for name, drawn in parwal.FIGURES.items():
        assert (ROOT / "notebooks" / "parwal" / f"{name}.ipynb").is_file()
        assert drawn in experiments("parwal", setting)
        with pytest.raises(SpecError, match=f"notebooks/parwal/{name}.ipynb draws it from the ru"):
            experiment("parwal", name, setting)


def test_all_tables_are_there_with_numbers_and_text_keys():
    assert tables("parwal") == [*NUMERALS, "text"]
    # Sums over the tables in the paper's text, which need not lie beside the checkout.
    sums = dict(zip(NUMERALS, (77.11, 53.69, 98.70, 219.57), strict=True))
    for name, rows in zip(NUMERALS, (3, 2, 4, 8), strict=True):
        table = published("parwal", name)
        assert list(table.columns[-4:]) == ["metric", "value", "raw", "note"]
        assert len(table) == 3 * rows
        assert table["value"].sum() == pytest.approx(sums[name], abs=1e-6)
        assert all(isinstance(value, str) for value in table.iloc[:, 0])


def test_rows_that_share_a_configuration_are_printed_with_the_same_scores():
    def scores(name, *keys):
        table = published("parwal", name)
        for column, key in zip(table.columns, keys, strict=False):
            table = table[table[column] == key]
        return dict(zip(table["metric"], table["value"], strict=True))

    plain, augmented = scores("table1", "2"), scores("table4", "1 RNN", "MSE")
    assert plain == scores("table2", "Not augmented")
    assert augmented == scores("table2", "Augmented") == scores("table3", "Both, after mask")
    assert len(plain) == len(augmented) == 3


def test_every_published_row_has_a_row_here_and_the_other_way_round(setting):
    for name in NUMERALS:
        table = published("parwal", name)
        found = experiment("parwal", name, setting)
        keys = list(table.columns[: table.columns.get_loc("metric")])
        assert list(found.keys) == keys
        rows = table[keys].drop_duplicates().to_dict("records")
        assert [dict(row.keys) for row in found.rows] == rows
        assert list(found.metrics) == list(table["metric"].unique())


def test_tables_share_one_configuration(setting):
    one, two, three, four = (specs(name, setting) for name in NUMERALS)
    assert one["2"] == two["Not augmented"]
    assert two["Augmented"] == three["Both, after mask"] == four["1 RNN, MSE"]
    assert two["Augmented"].family() == four["1 RNN, MSE"].family()
    assert two["Augmented"] != two["Not augmented"]


def test_rows_do_what_their_labels_say(setting):
    for size, spec in specs("table1", setting).items():
        assert spec.separator.context == int(size)
        assert not spec.training.augmentation
    assert {n: s.training.augmentation for n, s in specs("table2", setting).items()} == {
        "Not augmented": False,
        "Augmented": True,
    }
    losses = {n: s.training.loss for n, s in specs("table3", setting).items()}
    assert {n: (loss.target, loss.position) for n, loss in losses.items()} == {
        "Vocal": ("voice", "before"),
        "Music": ("accompaniment", "before"),
        "Both, before mask": ("both", "before"),
        "Both, after mask": ("both", "after"),
    }
    for name, spec in specs("table4", setting).items():
        model, divergence = name.split(", ")
        assert spec.training.loss.divergence == divergence.lower()
        network = (spec.separator.cell, spec.separator.layers)
        assert network == (("dense", 3) if model == "DNN" else ("relu", int(model[0])))
        assert (spec.separator.context, spec.training.augmentation) == (2, True)
    for name, spec in specs("conditions", setting).items():
        split, level = name.removesuffix(" dB").split(", ")
        assert (spec.split, spec.mixing.snr_db) == (split, float(level))


def test_budgets_are_equal_within_each_table(setting):
    for name in experiments("parwal", setting):
        budgets = {
            repr(replace(spec.training, loss=Loss(), augmentation=True, precision="float32"))
            for spec in specs(name, setting).values()
            if spec.training
        }
        assert len(budgets) <= 1, name
        assert bool(budgets) == (name != "baselines")


def test_rows_of_a_table_differ_only_in_what_it_compares(setting):
    for name, found in experiments("parwal", setting).items():
        rows = list(specs(name, setting).values())
        assert len({spec.identity() for spec in rows}) == len(rows) == len(found.rows), name
        whole = {(s.dataset, s.clips, s.stft, s.seed, s.evaluation.taps) for s in rows}
        assert len(whole) == 1, name
        if name in NUMERALS:
            assert {(s.split, s.mixing.snr_db, s.evaluation) for s in rows} == {
                (rows[0].split, 0.0, Evaluation())
            }


def test_every_spec_survives_being_written_down(setting):
    for name in experiments("parwal", setting):
        for spec in specs(name, setting).values():
            assert spec_from_plain(spec.plain()) == spec


def test_profiles_take_the_data_they_say():
    for setting in SETTINGS:
        for spec in specs("table4", setting).values():
            assert spec.dataset == ("mir1k" if setting.real else "synthetic-voice")
            assert (
                spec.clips
                == {"tiny": (6, 2, 3), "quick": (60, 12, 24), "full": None}[setting.profile.name]
            )
    assert experiment("parwal", "table4", SETTINGS[-1]).seeds >= 3
    assert "leaky, 0 dB" in specs("conditions", SETTINGS[-1])
    assert "leaky, 0 dB" not in specs("conditions", SETTINGS[0])


def test_a_table_that_the_paper_does_not_have_is_empty():
    assert published("parwal", "choices").empty
    assert parwal.DATASET == "mir1k"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: profile("fast"), "unknown profile 'fast'.*tiny, quick, full"),
        (lambda: paper("parwall"), "unknown paper 'parwall'.*did you mean 'parwal'"),
        (lambda: tables("os"), "unknown paper 'os'"),
        (lambda: experiment("parwal", "table5", SETTINGS[0]), "'table5'.*did you mean 'table"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(call, said):
    with pytest.raises(SpecError, match=said):
        call()
