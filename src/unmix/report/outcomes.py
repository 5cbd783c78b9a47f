"""How outcomes are shown: a colour, a symbol and words, the same on every page."""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unmix.papers.about import About
from unmix.report.tables import number
from unmix.verdicts import decide

if TYPE_CHECKING:
    from unmix.verdicts.claims import Claim
    from unmix.verdicts.judge import Verdict


@dataclass(frozen=True)
class Look:
    """How an outcome is shown.

    Attributes:
        symbol: one character; never alone.
        meaning: in a sentence, for the legend.
    """

    symbol: str
    meaning: str


LOOKS: Mapping[str, Look] = {
    decide.REPRODUCED: Look("✓", "on the paper's own dataset, the evidence bears the claim out"),
    decide.NOT_REPRODUCED: Look(
        "✗",
        "on the paper's own dataset, the evidence speaks against the claim: it exceeds it, falls "
        "short of it or contradicts it",
    ),
    decide.COMPATIBLE: Look(
        "≈", "what is claimed lies within what the evidence allows, which does not show it"
    ),
    decide.NEGLIGIBLE: Look(
        "=", "there is no difference worth the name, whichever way the claim has it"
    ),
    decide.INCONCLUSIVE: Look(
        "?", "the evidence is not enough to tell; the claim's section says what would be"
    ),
    decide.NOT_ASSESSED: Look("–", "no evidence here bears on it; the claim's section says why"),
}
"""Of verdicts, in the order of the legend."""

WIDER = "a wider reading"
"""How a claim is shown that is not reproduced, where its sentence is taken at its widest."""

READINGS: Mapping[str, Look] = {
    WIDER: Look(
        "≉",
        "the evidence speaks against a sentence taken to say more than it need mean; its plain "
        "reading is a claim of its own",
    )
}
"""Of verdicts that are counted apart from the others."""

CLAIMS: Mapping[str, Look] = {**LOOKS, **READINGS}
"""Of claims as they are shown and counted, see `shown`."""

FINDINGS: Mapping[str, Look] = {
    "disagrees": Look(
        "≠", "what is printed does not fit what it is held against, even within rounding"
    ),
    "a stricter reading": Look(
        "≉", "what is printed does not fit a sentence taken to say more than it need mean"
    ),
    "possible": Look("~", "what is printed does not show it, and does not exclude it"),
    "cannot be told": Look(
        "?", "a number that the computation needs is not printed, or the data are not here"
    ),
    "agrees": Look("✓", "what is printed fits what it is held against, within rounding"),
}
"""Of findings of an audit, what a reader looks for first."""


def parts(outcome: str) -> tuple[str, str]:
    """Return the material that an outcome names (empty for the paper's own), and the outcome."""
    material, colon, rest = outcome.partition(": ")
    return (material, rest) if colon else ("", outcome)


def slug(outcome: str) -> str:
    """Return an outcome as the name of a class."""
    return outcome.replace(" ", "-")


def shown(verdict: Verdict) -> str:
    """Return an outcome as it is shown and counted: wider readings that fail stand apart."""
    wide = verdict.reading == "wide" and parts(verdict.outcome)[1] == decide.NOT_REPRODUCED
    return WIDER if wide else verdict.outcome


def said(verdict: Verdict) -> str:
    """Return an outcome in words, with the direction where it is not reproduced."""
    reading = f"{WIDER}, " if shown(verdict) == WIDER else ""
    if parts(verdict.outcome)[1] == decide.NOT_REPRODUCED and verdict.direction:
        return f"{reading}{verdict.outcome}: {verdict.direction}"
    return f"{reading}{verdict.outcome}"


def classes(outcome: str) -> str:
    """Return the classes that give an outcome its colour."""
    material, rest = parts(outcome)
    return f"outcome outcome-{slug(rest)}" + (" outcome-other" if material else "")


def symbol(outcome: str) -> str:
    """Return the markup of an outcome's symbol; readers of screens hear the words instead."""
    look = {**CLAIMS, **FINDINGS}[parts(outcome)[1]]
    return f'<span class="outcome-symbol" aria-hidden="true">{look.symbol}</span>'


def badge(outcome: str, words: str = "") -> str:
    """Return the markup of an outcome: symbol and words in a coloured frame."""
    text = html.escape(words or outcome)
    return f'<span class="{classes(outcome)}">{symbol(outcome)}&nbsp;{text}</span>'


def counted(outcomes: Iterable[str], known: Mapping[str, Look]) -> dict[str, int]:
    """Return how often each known outcome occurs, whatever its material; also those that do not."""
    found = Counter(parts(outcome)[1] for outcome in outcomes)
    return {name: found[name] for name in known}


def summary(what: str, counts: Mapping[str, int]) -> str:
    """Return counts in a line: `what`, then each outcome that occurs with its number."""
    there = "".join(
        f"<span>{count} {badge(name)}</span> " for name, count in counts.items() if count
    )
    return f'<p class="outcome-counts">{html.escape(what)}: {there}</p>'


def folded(summary: str, inner: str) -> str:
    """Return markup that opens when its summary is chosen."""
    return f'<details class="unmix-fold"><summary>{html.escape(summary)}</summary>{inner}</details>'


def p_value(value: float) -> str:
    """Return a p-value as it is printed."""
    if math.isnan(value):
        return "–"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}" if value < 0.995 else "p = 1"


def interval(low: float, high: float) -> str:
    """Return an interval as it is printed; a dash for none."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"[{number(low, signed=True)}, {number(high, signed=True)}]"


def prose(text: str) -> str:
    """Return words as markup; what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def sentence(text: str) -> str:
    """Return words as a sentence of a paragraph, see `prose`."""
    plain = text.rstrip(".")
    return prose(plain[:1].upper() + plain[1:]) + "." if plain else ""


def behind(verdict: Verdict) -> str:
    """Return songs and seeds of a verdict in words."""
    songs = f"{verdict.n_songs} song{'' if verdict.n_songs == 1 else 's'}"
    return f"{songs}, {verdict.n_seeds} seed{'' if verdict.n_seeds == 1 else 's'}"


def short(verdict: Verdict) -> str:
    """Return as markup, in one line, why a verdict is what it is."""
    if not verdict.comparisons:
        return sentence(verdict.why)
    told = f"{estimate(verdict)}, {behind(verdict)}"
    return prose(told + (f"; {verdict.why}" if verdict.why else "")) + "."


def estimate(verdict: Verdict) -> str:
    """Return estimate and interval of a verdict as they are printed; a dash for none."""
    if not verdict.comparisons:
        return "–"
    return f"{number(verdict.estimate, signed=True)} dB {interval(*verdict.interval)}"


def tile(claim: Claim, verdict: Verdict, address: str) -> str:
    """Return an entry of a list of outcomes: colour, symbol and words, leading to the claim."""
    material, outcome = parts(shown(verdict))
    words = said(verdict)
    return (
        f'<li data-paper="{claim.paper}" data-kind="{claim.kind}" data-outcome="{outcome}" '
        f'data-material="{material or verdict.fidelity or "none"}">'
        f'<a class="{classes(shown(verdict))}" href="{address}" '
        f'title="{html.escape(claim.statement, quote=True)}">'
        f"{symbol(shown(verdict))} <b>{claim.id}</b> <span>{html.escape(words)}</span></a></li>"
    )


ONLY = "not with this training, on this split, by these scores"
"""What "not reproduced" means, and no more."""


def name_of(paper: str, about: About) -> str:
    """Return a paper as headings have it: its short name, authors and year."""
    names = re.split(", and |, | and ", about.authors)
    who = names[0].split()[-1] + (" et al." if len(names) > 2 else "")
    if len(names) == 2:
        who = " and ".join(each.split()[-1] for each in names)
    return f"{paper} ({who}{f', {about.year}' if about.year else ''})"
