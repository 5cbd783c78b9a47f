"""Figures of the benchmarks, as the book shows them."""

import json
import re

import pytest

from unmix.errors import UnmixError
from unmix.report.measured import duration, measured

FIGURES = {
    "title": "Many <runs>",
    "command": "python benchmarks/x.py --record results/benchmarks/x.json",
    "made": "2026-01-02",
    "machine": {"architecture": "abacus", "cores": 2, "load": 1.25, "load_after": 2},
    "versions": {"unmix": "0.1", "numpy": "2.0"},
    "commit": None,
    "clean": None,
    "rows": [
        {"what": "list", "seconds": [1.5, 9.0, 1.2], "goal": 2.0},
        {"what": "table", "seconds": [2.5, 0.1, 2.75], "goal": 2.0},
        {"what": "first (once)", "seconds": [31.4], "goal": None},
    ],
}


@pytest.fixture
def figures(results):
    """Write a file of figures, some of them left out or replaced."""

    def write(**changes):
        path = results.parent / "benchmarks" / "x.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**FIGURES, **changes}))

    return write


def test_medians_stand_beside_their_goals(figures):
    figures()
    lines = repr(measured("x")).splitlines()
    assert lines[:4] == [
        "Many <runs>",
        "list, 1.50 s, below 2 s, yes",
        "table, 2.50 s, below 2 s, no",
        "first (once), 31 s",
    ]
    markup = measured("x").markup
    assert "<caption>Many &lt;runs&gt;</caption>" in markup
    assert re.findall("<td>(yes|no|)</td>", markup) == ["yes", "no", "", ""]


def test_machine_day_and_command_are_told(figures):
    figures()
    said = repr(measured("x"))
    assert (
        "on 2026-01-02, on 2 cores (abacus) with a load of 1.25 from other work at the start"
        in said
    )
    assert "and of 2 in all at the end" in said
    assert "medians of 3" in said
    assert "numpy 2.0, unmix 0.1" in said
    assert FIGURES["command"] in said
    figures(rows=FIGURES["rows"][2:])
    assert "median" not in repr(measured("x"))


def test_what_was_not_measured_says_how(results):
    assert "Not measured yet: python benchmarks/x.py --record" in repr(measured("x"))


@pytest.mark.parametrize("change", [{"rows": [{}]}, {"rows": None}, {"machine": 1}])
def test_a_file_that_no_benchmark_wrote_is_named(figures, change):
    figures(**change)
    with pytest.raises(UnmixError, match=r"x\.json: cannot be read .*measure again"):
        measured("x")


def test_a_file_cut_short_is_named(figures, results):
    figures()
    path = results.parent / "benchmarks" / "x.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UnmixError, match=r"x\.json: cannot be read"):
        measured("x")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0029, "2.90 ms"),
        (0.005, "5 ms"),
        (0.0996, "100 ms"),
        (0.25, "0.25 s"),
        (2.0, "2 s"),
        (1.239, "1.24 s"),
        (30.4, "30 s"),
    ],
)
def test_times_are_written_for_people(seconds, words):
    assert duration(seconds) == words
