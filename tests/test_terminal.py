"""Tables in a terminal of any width, or in a pipe."""

import re

import pandas as pd
import pytest

from unmix.report import terminal

COMMAND = "unmix run parwal/table2 --profile tiny"


def long(spread=0.013, published=True, seeds=3):
    """A table of two rows and three scores, with the widest numbers there are."""
    lines = []
    for row in ("Not augmented", "-5 dB"):
        for number, metric in enumerate(("GNSDR", "GSIR", "GSAR")):
            line = {"system": row, "loss": "MSE", "metric": metric}
            line |= {"published": 10.5 + number if published else float("nan")}
            line |= {"reproduced": -12.25 - number, "spread": spread, "seeds": seeds}
            lines.append(line | {"fidelity": "stand-in" if seeds else "", "runs": "k"})
    return pd.DataFrame(lines)


@pytest.fixture
def shown(monkeypatch, capsys):
    def call(table, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        terminal.show(table, "Table II", COMMAND)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 200])
def test_no_number_is_cut_short_in_any_terminal(shown, columns):
    out = shown(long(), columns)
    assert "…" not in out
    for number in range(3):
        assert out.count(f"−{12.25 + number:.2f}±0.01") == 2
        assert len(re.findall(rf"(?<!\d){10.5 + number:.2f}(?!\d)", out)) == 2
    assert out.count("stand-in × 3") in {2, 6}
    assert "−5 dB" in out


def test_a_table_that_is_too_wide_is_a_block_for_each_score(shown):
    wide, narrow = shown(long(), 120), shown(long(), 80)
    assert wide.count("Not augmented") == 1
    assert narrow.count("Not augmented") == 3
    assert [name in narrow for name in ("Table II, GNSDR", "Table II, GSAR")] == [True, True]
    assert max(map(len, narrow.splitlines())) <= 80


def test_without_spread_a_row_fits_80_columns(shown):
    out = shown(long(spread=float("nan"), seeds=1), 80)
    assert out.count("Not augmented") == 1
    assert "±" not in out
    assert "All scores in dB." in out


def test_what_the_paper_does_not_have_has_no_column(shown):
    assert "paper" not in shown(long(published=False), 100)
    assert "paper" in shown(long(), 100)


def test_what_is_not_run_yet_names_the_command(shown):
    assert COMMAND not in shown(long(), 100)
    out = shown(long(seeds=0), 100)
    assert f"What is not run yet: {COMMAND}\n" in out
