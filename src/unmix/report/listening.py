"""A published listening test, aggregated again, as a page: tables and figures of its numbers."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unmix.errors import SpecError, one_of
from unmix.report import figures
from unmix.report.anatomy import shown
from unmix.report.audits import anchor
from unmix.report.opinions import OPEN, PROPOSED, RESTS, SHOWN, Opinions, Pair
from unmix.report.outcomes import p_value
from unmix.report.tables import Shown, listed, number
from unmix.verdicts.audit import audit
from unmix.verdicts.panel import LEVEL

SCALE = "mean opinion score (1 bad to 5 excellent)"
BESIDE = 0.085
"""How far equal scores stand apart in the figure, in distances between methods."""


class Listening:
    """The listening test of a paper, as its notebook shows it."""

    def __init__(self, paper: str) -> None:
        """Take a paper by its name.

        Raises:
            SpecError: there is no such paper, or it has no such table, row or number.
            UnmixError: a table is incomplete, or its percentages are no counts.
        """
        self.paper, self.found = paper, Opinions(paper)

    def averages(self) -> Shown:
        """Return printed and recomputed averages, and their intervals over listeners."""
        found, step = self.found.averages(), self.found.step()
        columns = {
            "method": found["method"],
            "printed": found["printed"],
            "recomputed": found["recomputed"].map("{:.3f}".format),
            f"from {_parts(step)}": found["stepped"].map("{:.3f}".format),
            "within rounding": found["fits"].map({True: "yes", False: "no"}),
            "standard deviation": found["sd"],
            "95 % interval": _intervals(found["low"], found["high"]),
        }
        if not step:
            del columns[f"from {_parts(step)}"]
        caption = f"Average opinion scores of {self.found.listeners} listeners"
        notes = [
            "Interval: Student's t over the listeners. It is about other listeners of the same "
            "sounds, and says nothing of other sounds.",
        ]
        odd = found[(found["stepped"].round(2) - found["printed"]).abs() > 1e-6]
        for _, row in odd.dropna(subset="stepped").iterrows():
            notes.append(
                f"{row['method']}: were all scores {_parts(step)}, the average would be "
                f"{row['stepped']:.3f}, which rounds to {row['stepped']:.2f}; the paper prints "
                f"{row['printed']:.2f}."
            )
        return _table(pd.DataFrame(columns), caption, notes)

    def gaps(self) -> Shown:
        """Return how far the proposed method is graded above each other."""
        found = self.found.gaps()
        columns = {
            "against": found["instrument"] + ", " + found["rival"],
            "mean gap": found["gap"],
            "95 % interval": _intervals(found["low"], found["high"]),
            "listeners above": _of(found["above"], self.found.listeners),
            "level": found["ties"].astype(str),
            "t-test": _ps(found["t"]),
            "t-test, Holm": _ps(found["t holm"]),
            "sign test": _ps(found["sign"]),
            "sign test, Holm": _ps(found["sign holm"]),
        }
        notes = [
            "Unit: a listener, whose two scores are one pair. Intervals are Student's t, each for "
            "itself.",
            f"Holm: p-values are corrected for the {len(found)} comparisons of the table.",
            "Sign test: exact and two-sided; level listeners are left out.",
        ]
        return _table(pd.DataFrame(columns), f"{PROPOSED} minus each other method", notes)

    def counts(self) -> Shown:
        """Return the counts behind the percentages."""
        pairs, total = self.found.pairs, self.found.total
        columns = {
            "first : second": [pair.name for pair in pairs],
            "printed, %": [_triple(pair.percent) for pair in pairs],
            f"answers of {total}": [_triple(pair.answers) for pair in pairs],
            "rounded one by one, %": [
                _triple([round(100 * each / total) for each in pair.answers]) for pair in pairs
            ],
            "fits": ["rounded" if pair.exact else "adjusted to make 100" for pair in pairs],
        }
        alone, loose = self.found.fitting()
        exact = sum(pair.exact for pair in pairs)
        notes = [
            "Order: first preferred, both equal, second preferred.",
            f"The paper's {total} answers ({self.found.listeners} listeners, {self.found.each} "
            f"pairs of sounds each): {exact} of {len(pairs)} pairs fit as they are rounded, "
            f"{len(pairs) - exact} if a percentage was moved by one so that the three make 100.",
            f"Other numbers of answers up to 100: all pairs fit as rounded with {_some(alone)}; "
            f"with an adjustment the smallest are {_some(loose)}.",
        ]
        return _table(pd.DataFrame(columns), "Counts behind the preferences", notes)

    def answers(self) -> Shown:
        """Return tests and intervals that take each answer as independent."""
        found = self.found.preferences()
        columns = {
            "first : second": found["pair"],
            "more answers for": found["ahead"],
            "for and against": [_versus(pair.lead) for pair in self.found.pairs],
            "share": [_percent(each) for each in found["share"]],
            "95 % interval": found["answers"].map(_percents),
            "sign test": _ps(found["p"]),
            "sign test, Holm": _ps(found["p holm"]),
        }
        notes = [
            "Share: of the answers that prefer one; those that find both equal are left out, of "
            "the interval (Wilson) and of the exact two-sided sign test.",
            f"Holm: corrected for the {found['family'].sum()} pairs with the proposed network "
            f"together, and for the other {(~found['family']).sum()} together.",
            "Independence: one listener gives several answers. They resemble each other, so "
            "intervals are too narrow and p-values too small.",
        ]
        return _table(pd.DataFrame(columns), "If every answer stood for itself", notes)

    def listeners(self) -> Shown:
        """Return what is left where a listener is the unit, whoever gave which answer."""
        found, each = self.found.preferences(), self.found.each
        columns = {
            "first : second": found["pair"],
            "interval of the share": found["listeners"].map(_percents),
            "listeners at best": found["spread"].map(lambda s: _versus(s.most)),
            "sign test": _ps(found["spread"].map(lambda s: s.p_most)),
            "listeners at worst": found["spread"].map(lambda s: _versus(s.least)),
            "sign test at worst": _ps(found["p least"]),
            "at worst, Holm": _ps(found["p least holm"]),
            "reading": found["reading"],
        }
        notes = [
            f"Interval: Wilson's, with a {_parts(each, one=True)} of the answers. That is what "
            f"they are worth if each listener gives the same answer {each} times.",
            f"Listeners: how many lean to the method with more answers, and how many to the other, "
            f"over all ways in which {self.found.listeners} listeners with {each} answers each can "
            "have given these counts. Where not more lean to that method, p is 1.",
            f"Reading: at {100 * LEVEL:.0f} % after Holm's correction, from the sign "
            "test on answers and from that on listeners at worst.",
        ]
        return _table(pd.DataFrame(columns), "If only listeners stand for themselves", notes)

    def ranks(self) -> Shown:
        """Return how the methods are ranked by grades, by preferences and by SDR."""
        found = self.found.ranks()
        lost = len(self.found.methods) - 1
        columns = {
            "method": found["instrument"] + ", " + found["method"],
            "opinion score": _ranked(found["MOS"].map(number), found["MOS rank"]),
            "pairs won": _ranked(_of(found["pairs won"], lost), found["pairs won rank"]),
            "SDR in dB": _ranked(found["SDR"].map(number), found["SDR rank"]),
        }
        notes = ["Rank: in brackets. SDR is the published mean of the test part."]
        for instrument, some in found.groupby("instrument", sort=False):
            same = some[["MOS rank", "pairs won rank", "SDR rank"]].nunique(axis=1).eq(1).all()
            lead = {name: -np.diff(np.sort(some[name])[::-1][:2])[0] for name in ("MOS", "SDR")}
            notes.append(
                f"{str(instrument).capitalize()}: the three orders are "
                f"{'the same' if same else 'not the same'}. The first leads the second by "
                f"{number(lead['MOS'])} grades and {number(lead['SDR'])} dB."
            )
        return _table(pd.DataFrame(columns), "Three orders of the methods", notes)

    def beside(self) -> Shown:
        """Return, for each rival of the proposed method, grades beside direct comparisons."""
        gaps = self.found.gaps()
        rows = []
        for pair in self.found.pairs:
            if PROPOSED not in (pair.first, pair.second):
                continue
            ours = pair.first == PROPOSED
            rival = pair.second if ours else pair.first
            gap = gaps[(gaps["instrument"] == pair.instrument) & (gaps["rival"] == rival)].iloc[0]
            rows.append(
                {
                    "against": f"{pair.instrument}, {rival}",
                    "mean gap in grades": float(gap["gap"]),
                    "listeners above": f"{gap['above']:.0f} of {self.found.listeners}",
                    "answers for, equal, against": _triple(
                        pair.answers if ours else pair.answers[::-1]
                    ),
                }
            )
        return _table(pd.DataFrame(rows), f"{PROPOSED}: grades and direct comparisons", [])

    def bears_out(self) -> Shown:
        """Return what the two tests can bear out of the proposed method's lead, as a list."""
        gaps, table = self.found.gaps(), self.found.preferences()
        every = (gaps["above"] == self.found.listeners).sum()
        clear = (gaps["sign holm"] < LEVEL).sum()
        ours = table[table["family"] & (table["ahead"] == PROPOSED)]
        lines = [
            f"Grades: in {every} of {len(gaps)} comparisons all {self.found.listeners} listeners "
            f"grade the proposed network above the other; {clear} of {len(gaps)} sign tests are "
            f"below {LEVEL:g} after Holm's correction.",
            f"Preferences: in {len(ours)} of {table['family'].sum()} pairs more answers are for "
            "the proposed network than against it.",
        ]
        for said in (SHOWN, RESTS, OPEN):
            some = [
                f"{row['pair']} ({p_value(row['p holm'])}, uncorrected {p_value(row['p'])})"
                for _, row in ours[ours["reading"] == said].iterrows()
            ]
            if some:
                lines.append(f"{said.capitalize()}: {'; '.join(some)}.")
        return Shown(listed(lines), "\n".join(lines))

    def audited(self, *names: str) -> Shown:
        """Return what the audit of the paper says under some of its entries.

        Raises:
            SpecError: the audit has no such entry.
        """
        every = audit(self.paper)
        known = list(dict.fromkeys(each.id for each in every))
        markup, lines = "", []
        for name in names:
            if name not in known:
                raise SpecError(
                    one_of("entry of the audit:", name, known), expected=", ".join(known)
                )
            some = [each for each in every if each.id == name]
            said = [
                f"{each.where.rpartition(': ')[2]}: {each.said}. {each.explanation}".strip()
                for each in some
            ]
            where = f'<a href="numbers.html#{anchor(name)}">{html.escape(name)}</a>'
            markup += f"<p>{where}: {html.escape(some[0].says)}</p>{listed(said)}"
            lines += [f"{name}: {some[0].says}", *said]
        return Shown(markup, "\n".join(lines))

    def draw_scores(self) -> Figure:
        """Return each listener's score and the mean with its interval, a panel an instrument."""
        figures.style()
        found = self.found.averages().set_index("method")
        names, count = self.found.instruments, len(self.found.methods)
        figure, axes = plt.subplots(
            1, len(names), figsize=(9, 1.4 + 0.6 * count), sharex=True, sharey=True,
            layout="constrained", squeeze=False,
        )  # fmt: skip
        for axis, instrument in zip(axes[0], names, strict=True):
            for place, method in enumerate(self.found.methods):
                grades = self.found.graded(instrument)[method].to_numpy()
                row = found.loc[f"{instrument}, {method}"]
                axis.plot(
                    grades, place + 0.12 + BESIDE * _apart(grades), "o", markersize=4.5,
                    color=sns.color_palette(figures.PALETTE)[place], alpha=0.8,
                )  # fmt: skip
                ends = [[row["recomputed"] - row["low"]], [row["high"] - row["recomputed"]]]
                axis.errorbar(
                    [row["recomputed"]], [place - 0.22], xerr=ends, fmt="D", color="black",
                    markersize=4.5, capsize=3,
                )  # fmt: skip
            axis.set(title=instrument, xlim=(1, 5), xlabel=SCALE, ylim=(count - 0.4, -0.6))
            axis.set_xticks(range(1, 6))
            axis.set_yticks(range(count), self.found.methods)
            axis.grid(False, axis="y")
        return figure

    def draw_preferences(self) -> Figure:
        """Return diverging bars of the answers, a panel an instrument, a bar a pair."""
        figures.style()
        names = self.found.instruments
        most = max(len([p for p in self.found.pairs if p.instrument == name]) for name in names)
        figure, axes = plt.subplots(
            len(names), 1, figsize=(9, len(names) * (0.7 + 0.4 * most)), sharex=True,
            layout="constrained", squeeze=False,
        )  # fmt: skip
        for axis, instrument in zip(axes[:, 0], names, strict=True):
            _bars(axis, [pair for pair in self.found.pairs if pair.instrument == instrument])
            axis.set(title=instrument, xlim=(-self.found.total, self.found.total))
        axes[-1, 0].set_xlabel(
            f"answers of {self.found.total}; those that find both equal lie about the middle"
        )
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return figure


def _bars(axis: Axes, pairs: Sequence[Pair]) -> None:
    """Draw a bar a pair: the first method's answers left, equal about zero, the second's right."""
    colours = sns.color_palette(figures.PALETTE)
    kinds = [
        ("first preferred", colours[0], "white"),
        ("both equal", (0.8, 0.8, 0.8), "black"),
        ("second preferred", colours[1], "black"),
    ]
    places = range(len(pairs))
    for at, (label, colour, text) in enumerate(kinds):
        widths = [pair.answers[at] for pair in pairs]
        starts = [sum(pair.answers[:at]) - pair.answers[0] - pair.answers[1] / 2
                  for pair in pairs]  # fmt: skip
        bars = axis.barh(places, widths, left=starts, color=colour, label=label, height=0.75)
        texts = [str(width or "") for width in widths]
        axis.bar_label(bars, texts, label_type="center", color=text, fontsize="small")
    axis.set_yticks(places, [pair.first for pair in pairs])
    axis.invert_yaxis()
    right = axis.secondary_yaxis("right")
    right.set_yticks(places, [pair.second for pair in pairs])
    right.tick_params(length=0)
    axis.grid(False, axis="y")
    axis.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")


def _apart(values: np.ndarray) -> np.ndarray:
    """Return how far each of `(listeners,)` is moved aside, so that equal values stay apart."""
    found = np.zeros(len(values))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        found[same] = np.arange(len(same))
    return found


def _table(table: pd.DataFrame, caption: str, notes: Sequence[str]) -> Shown:
    made = shown(table, caption)
    return made + Shown(listed(notes), "\n".join(notes)) if notes else made


def _intervals(low: Iterable[float], high: Iterable[float]) -> list[str]:
    return [f"{number(a)} to {number(b)}" for a, b in zip(low, high, strict=True)]


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def _percents(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"


def _ps(values: Iterable[float]) -> list[str]:
    return [p_value(value).removeprefix("p ").removeprefix("= ") for value in values]


def _of(counts: Iterable[int], total: int) -> list[str]:
    return [f"{count} of {total}" for count in counts]


def _ranked(values: Iterable[str], ranks: Iterable[int]) -> list[str]:
    return [f"{value} ({rank})" for value, rank in zip(values, ranks, strict=True)]


def _triple(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _versus(split: tuple[int, int]) -> str:
    return f"{split[0]} : {split[1]}"


def _some(found: Sequence[int], most: int = 3) -> str:
    return ", ".join(map(str, found[:most])) or "none"


def _parts(n: int, *, one: bool = False) -> str:
    names = {2: "half", 3: "third", 15: "fifteenth"}
    name = names.get(n, f"{n}th")
    return name if one else f"{name}s"
