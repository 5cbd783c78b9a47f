"""The rates of wrong outcomes in the book are those that the benchmark wrote."""

import json

import pytest

from unmix.errors import UnmixError
from unmix.report import measured, rates

ROWS = [
    {"part": "errors", "kind": "greater", "truth": "none", "seeds": 1, "wrong": 0.04},
    {"part": "errors", "kind": "greater", "truth": "margin", "seeds": 1, "wrong": 0.051},
    {"part": "errors", "kind": "greater", "truth": "none", "seeds": 3, "wrong": 0.02},
    {"part": "elsewhere", "kind": "peak", "where": "6 songs", "seeds": 3, "wrong": 0.031},
    {"part": "found", "kind": "greater", "truth": "1 dB", "seeds": 1, "right": 1.0},
    {"part": "found", "kind": "peak", "truth": "1 dB ahead of two", "seeds": 1, "right": 0.9},
]
FOUND = {"simulations": 2000, "level": 0.05, "made": "2026-11-21", "command": "x", "rows": ROWS}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a file where the benchmark's is looked for."""
    monkeypatch.setattr(measured, "results_folder", lambda name: tmp_path)
    return lambda text: (tmp_path / "errors.json").write_text(text)


def test_the_worst_truth_of_a_kind_is_shown_and_what_is_missing_is_a_dash(written):
    written(json.dumps(FOUND))
    lines = repr(rates.rates()).splitlines()
    assert lines[1:] == ["greater: 5.1, 2.0", "6 songs: –, 3.1"]
    assert "2,000 simulations" in lines[0]
    assert (
        "A difference of 1 dB is found in 90.0 % of cases or more (least often: peak)" in lines[0]
    )


def test_without_a_measurement_the_page_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "results_folder", lambda name: tmp_path)
    assert "python benchmarks/errors.py --record" in repr(rates.rates())


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({**FOUND, "rows": [{"part": "errors"}]})])
def test_another_file_is_one_clear_error(written, text):
    written(text)
    with pytest.raises(UnmixError, match=r"errors\.json: cannot be read .*measure again"):
        rates.rates()
