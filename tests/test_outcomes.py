"""Outcomes and forest plots: colours, symbols and words that every reader can tell apart."""

import html
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from unmix.report import forest, outcomes
from unmix.report.forest import Mark
from unmix.verdicts import decide
from unmix.verdicts.checks.groups import OUTCOMES as FOUND
from unmix.verdicts.checks.groups import STRICTER
from unmix.verdicts.claims import claim
from unmix.verdicts.judge import Verdict

ROOT = Path(__file__).resolve().parents[1]
CSS = (ROOT / "book" / "static" / "book.css").read_text()
NOTHING = Mark(math.nan, math.nan, math.nan, math.nan)


def text(markup):
    """What is left of markup without its tags."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", markup)).split())


# Forest plots.


def test_the_axis_reaches_from_edge_to_edge_and_holds_zero():
    scale = forest.axis([Mark(1.0, 2.0, 1.5, 2.5)])
    assert (scale.x(0.0), scale.x(2.5)) == (forest.EDGE, forest.WIDTH - forest.EDGE)
    assert scale.x(1.25) == forest.WIDTH / 2


@pytest.mark.parametrize("size", [0.003, 0.07, 0.9, 1.0, 4.2, 137.0])
@pytest.mark.parametrize("low", [-1.0, -0.35, 0.0])
def test_ticks_are_few_even_and_on_the_axis(size, low):
    scale = forest.axis([Mark(size, low * size, low * size, size)])
    steps = {round(b - a, 9) for a, b in zip(scale.ticks, scale.ticks[1:], strict=False)}
    assert 2 <= len(scale.ticks) <= 5
    assert len(steps) == 1
    assert scale.low <= scale.ticks[0]
    assert scale.ticks[-1] <= scale.high
    labels = re.findall(">([^<]+)</text>", forest.head(scale))
    assert [float(each.replace("−", "-")) for each in labels] == pytest.approx(scale.ticks)


def test_a_picture_draws_only_what_there_is_and_says_it():
    scale = forest.axis([Mark(0.5, 0.1, -0.2, 0.4, (-0.1, 0.1))])
    drawn = forest.line(Mark(0.5, 0.1, -0.2, 0.4, (-0.1, 0.1)), scale)
    assert 'role="img"' in drawn
    said = "paper +0.50 dB, here +0.10 dB, 95 % interval −0.20 to +0.40, margin −0.10 to +0.10"
    assert f'aria-label="{said}"' in drawn
    assert f'cx="{scale.x(0.1)}"' in drawn
    assert f"M{scale.x(-0.2)} " in drawn
    assert f"H{scale.x(0.4)}" in drawn
    bare = forest.line(replace(NOTHING, published=0.5), scale)
    assert "circle" not in bare
    assert "rect" not in bare
    assert 'aria-label="paper +0.50 dB"' in bare


def test_the_key_names_what_is_drawn_and_nothing_else():
    assert text(forest.key([replace(NOTHING, published=0.5)], "margin")) == "paper"
    every = forest.key([Mark(0.5, 0.1, -0.2, 0.4, (-0.1, 0.1))], "margin")
    assert text(every) == "here, with its 95 % interval paper margin"


def test_an_axis_of_nothing_is_an_axis_all_the_same():
    assert forest.axis([NOTHING]).ticks == (-1.0, -0.5, 0.0, 0.5, 1.0)


# Outcomes.


def test_every_outcome_has_a_look_of_its_own():
    assert tuple(outcomes.LOOKS) == decide.OUTCOMES
    assert set(outcomes.FINDINGS) == {*FOUND, STRICTER}
    for looks in (outcomes.LOOKS, outcomes.FINDINGS):
        symbols = [look.symbol for look in looks.values()]
        assert len(set(symbols)) == len(symbols)


def test_a_badge_has_symbol_words_and_colour():
    assert text(outcomes.badge("not reproduced", "not reproduced: exceeds")) == (
        "✗ not reproduced: exceeds"
    )
    assert 'class="outcome outcome-not-reproduced"' in outcomes.badge("not reproduced")


def test_other_material_has_a_look_of_its_own():
    badge = outcomes.badge("stand-in: compatible")
    assert "outcome-compatible outcome-other" in badge
    assert text(badge) == "≈ stand-in: compatible"
    assert "outcome-other" not in outcomes.badge("compatible")


def test_only_what_is_not_reproduced_names_a_direction():
    one = Verdict("P01", "parwal", decide.NOT_REPRODUCED, direction="exceeds")
    assert outcomes.said(one) == "not reproduced: exceeds"
    assert outcomes.said(replace(one, outcome=decide.REPRODUCED)) == "reproduced"


def test_a_wider_reading_that_fails_stands_apart():
    one = Verdict("P02", "parwal", decide.NOT_REPRODUCED, "contradicted", reading="wide")
    assert outcomes.shown(one) == outcomes.WIDER
    assert outcomes.said(one) == "a wider reading, not reproduced: contradicted"
    markup = outcomes.tile(claim("P02"), one, "claims.html#claim-p02")
    assert 'data-outcome="a wider reading"' in markup
    assert 'class="outcome outcome-a-wider-reading"' in markup
    assert ".outcome-a-wider-reading {\n  border-style: dashed;" in CSS
    plain = replace(one, reading="")
    assert outcomes.shown(plain) == decide.NOT_REPRODUCED
    assert outcomes.shown(replace(one, outcome=decide.REPRODUCED)) == decide.REPRODUCED
    counts = outcomes.counted(map(outcomes.shown, [one, plain]), outcomes.CLAIMS)
    assert (counts[outcomes.WIDER], counts[decide.NOT_REPRODUCED]) == (1, 1)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.0002, "p < 0.001"),
        (0.0213, "p = 0.021"),
        (0.999, "p = 1"),
        (1.0, "p = 1"),
        (math.nan, "–"),
    ],
)
def test_p_values(value, printed):
    assert outcomes.p_value(value) == printed


def test_code_between_backticks_and_nothing_else_is_markup():
    told = outcomes.sentence("see `unmix audit parwal`: a < b")
    assert told == "See <code>unmix audit parwal</code>: a &lt; b."


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("theme", "ground"), [(":root", "#ffffff"), ('html[data-theme="dark"]', "#14181e")]
)
@pytest.mark.parametrize("name", ["blue", "orange", "purple", "green", "grey"])
def test_colours_of_outcomes_can_be_read(theme, ground, name):
    """Contrast of 4.5 to 1 and more: level AA of the Web Content Accessibility Guidelines."""
    block = CSS[CSS.index(f"{theme} {{") :].split("}")[0]
    (colour,) = re.findall(rf"--unmix-{name}: (#\w{{6}});", block)
    light, dark = sorted([luminance(colour), luminance(ground)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_reading_page_explains_every_outcome():
    page = (ROOT / "book" / "reading.md").read_text()
    for name, look in (outcomes.LOOKS | outcomes.FINDINGS).items():
        assert f'class="{outcomes.classes(name)}">{look.symbol} {name}</span>' in page, name


def test_statements_are_escaped():
    sly = replace(claim("P01"), statement='<script>alert("x")</script> & so on')
    verdict = Verdict("P01", "parwal", decide.NOT_ASSESSED, why="not run yet")
    tile = outcomes.tile(sly, verdict, "claims.html#claim-p01")
    assert "<script>" not in tile
    assert 'title="&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; so on"' in tile


def test_a_year_that_is_unknown_is_left_out():
    about = SimpleNamespace(authors="Ann Bee, Cat Dee", year=None)
    assert outcomes.name_of("xy", about) == "xy (Bee and Dee)"
    assert outcomes.name_of("xy", SimpleNamespace(authors="A. Bee, C. Dee, E. Eff", year=2018)) == (
        "xy (Bee et al., 2018)"
    )
    three = SimpleNamespace(authors="A. Bee, C. Dee and E. Eff", year=2018)
    assert outcomes.name_of("xy", three) == "xy (Bee et al., 2018)"
