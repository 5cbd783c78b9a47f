"""BSS Eval against itself: SDR from SIR and SAR, for one clip, for means, and with the mixture.

BSS Eval (Vincent, Gribonval and Févotte, 2006) projects an estimate onto the span of the target's
delayed copies (s_target), then onto that of all sources' (adding e_interf); what is left is
e_artif. The spans are nested, so the three parts are orthogonal. With energies S, I, A, and
a = I / S = 10^(-SIR/10), b = A / (S + I) = 10^(-SAR/10):

    10^(-SDR/10) = (I + A) / S = a + (1 + a) b = (1 + a)(1 + b) - 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from unmix.errors import SpecError
from unmix.papers.published import Cell
from unmix.verdicts.checks.groups import (
    AGREES,
    DISAGREES,
    POSSIBLE,
    Entry,
    Group,
    Judgement,
    by_role,
    chosen,
    either,
    grouped,
    slack,
    term,
    told_apart,
)
from unmix.verdicts.checks.numbers import (
    EPSILON,
    Approx,
    difference,
    exact,
    increasing,
    meet,
    total,
)

SCORES = {"SDR": "SDR", "SIR": "SIR", "SAR": "SAR"}
MIXTURE = {"SDR": "SDR", "NSDR": "NSDR"}


def sdr_of(sir: float, sar: float) -> float:
    """Return the SDR in dB of a clip with these SIR and SAR in dB; see the module for the proof.

    It rises with both, and is concave in the two: -log of a sum of three exponentials of linear
    functions (-SIR, -SAR, -SIR-SAR, each times ln(10)/10), and log-sum-exp is convex.
    """
    interference, artefacts = _power(-sir), _power(-sar)
    distortion = interference + artefacts + interference * artefacts
    return -_decibels(distortion)


def images_sdr_of(sir: float, sar: float) -> float:
    """Return the highest SDR in dB of spatial images of a clip with these SIR and SAR.

    For images the target itself, s, is the reference, and the estimate's part in the span of the
    target's delayed copies is s + e_spat, not orthogonal to s. With r = |e_spat| / |s|, that part
    has at least the energy (1 - r)^2 |s|^2, and e_interf and e_artif are orthogonal to all of it
    and to each other, so 10^(-SDR/10) >= r^2 + (1 - r)^2 Q with Q = 10^(-sdr_of(SIR, SAR)/10).
    The smallest such value, at r = Q / (1 + Q), is Q / (1 + Q): SDR <= 10 log10(1 + 1 / Q).
    This is no concave function of SIR and SAR, so that means of images have no bound of this kind.
    """
    return _decibels(1 + _power(sdr_of(sir, sar)))


def identity(paper: str, entry: Entry) -> Iterator[Group]:
    """For one clip SDR follows from SIR and SAR, since BSS Eval's parts are orthogonal.

    10^(-SDR/10) = (1 + 10^(-SIR/10)) (1 + 10^(-SAR/10)) - 1, as the module proves. All three are
    rounded, so both sides must meet within what half a step of each printed number does.
    """
    for where, row in by_role(paper, entry, {**SCORES, **entry.get("metrics", {})}):
        cells = [row["SDR"], row["SIR"], row["SAR"]]
        yield Group(where, tuple(map(term, cells)), lambda numbers: _identity(numbers, entry))


def _identity(numbers: Sequence[Approx], entry: Entry) -> Judgement:
    sdr, sir, sar = numbers
    follows = increasing(sdr_of, sir, sar)
    holds = meet(sdr, follows, slack(entry))
    off = sdr.value - follows.value
    words = "" if holds else f"The printed SDR is {_apart(off)} what SIR and SAR make of it."
    return Judgement(
        either(holds),
        follows.value,
        sdr.value,
        follows.tolerance + sdr.tolerance + slack(entry),
        words,
    )


def bound(paper: str, entry: Entry) -> Iterator[Group]:
    """For means over clips SDR is at most what the mean SIR and SAR make for a single clip.

    The map from (SIR, SAR) to SDR is concave (see `sdr_of`), so by Jensen's inequality the mean
    of SDR, with any weights, is at most the map of the means. A normalised SDR is SDR less that of
    the mixture, so the bound holds for it plus the mixture's mean SDR. Medians and scores of
    spatial images have no such bound.
    """
    roles = {**SCORES, **entry.get("metrics", {})}
    if ("NSDR" in roles["SDR"]) != ("mixture" in entry):
        raise SpecError(
            f"a bound of {roles['SDR']} {'with' if 'mixture' in entry else 'without'} the SDR of "
            "the mixture",
            expected="`mixture` where SDR is a normalised one, and only there",
            do="mend `mixture` or `metrics` in audit.yaml",
        )
    for where, row in by_role(paper, entry, roles):
        cells = [row["SDR"], row["SIR"], row["SAR"]]
        yield Group(where, tuple(map(term, cells)), lambda numbers: _bound(numbers, entry))


def _bound(numbers: Sequence[Approx], entry: Entry) -> Judgement:
    mixture = float(entry["mixture"]["at"]) if "mixture" in entry else None
    sdr, sir, sar = total((numbers[0], exact(mixture or 0.0))), numbers[1], numbers[2]
    limit = increasing(sdr_of, sir, sar)
    # The SDR of a clip is above neither its SIR nor its SAR, and so for medians.
    medians = sdr.low <= min(sir.high, sar.high) + EPSILON
    rounding = sdr.tolerance + limit.tolerance
    excess = sdr.value - limit.value
    holds = sdr.low <= limit.high + slack(entry) + EPSILON
    if holds and excess <= rounding:
        words = f"It stays {-excess:.2f} dB below the bound." if excess < 0 else ""
    else:
        readings = _readings(numbers[1:], excess, mixture, medians)
        words = f"It exceeds the bound by {excess:.2f} dB. {readings}"
    return Judgement(
        POSSIBLE if holds else DISAGREES,
        sdr.value,
        f"at most {limit.value:.2f}",
        rounding + slack(entry),
        words,
        f"{excess:.2f} dB above the bound" if excess > rounding else "",
        usual=holds and excess <= rounding,
    )


def _readings(
    numbers: Sequence[Approx], excess: float, mixture: float | None, medians: bool
) -> str:
    """Return under which other readings a row above the bound is possible."""
    images = images_sdr_of(*(each.value for each in numbers))
    readings = ["if the numbers are medians, which have no such bound"] if medians else []
    readings.append(
        "if they are scores of spatial images (their means have none either; clips that are all "
        f"alike would have at most {images:.2f} dB)"
    )
    if mixture is not None:
        readings.append(
            f"if the mixtures' mean SDR is {mixture - excess:.2f} dB or lower instead of "
            f"{mixture:g} dB"
        )
    return f"It would be possible {'; '.join(readings)}."


def mixture_sdr(paper: str, entry: Entry) -> Iterator[Group]:
    """SDR less normalised SDR is the mixture's SDR: one number for all methods on the same clips.

    NSDR(estimate) = SDR(estimate) - SDR(mixture) for each clip, and means with the same weights
    keep the difference. What is subtracted depends on the clips and not on the method.
    """
    roles = {**MIXTURE, **entry.get("metrics", {})}
    rows = dict(by_role(paper, entry, roles))
    if "at" in entry:
        for where, row in rows.items():
            cells = (row["SDR"], row["NSDR"])
            yield Group(where, tuple(map(term, cells)), lambda numbers: _at(numbers, entry))
        return
    first = chosen(paper, entry, [roles["SDR"]])
    same = {
        (cell.table, cell.row): where
        for where, group in grouped(first, [*entry["over"], "metric"]).items()
        for cell in group
    }
    clips: dict[str, list[Mapping[str, Cell]]] = {}
    for row in rows.values():
        clips.setdefault(same[row["SDR"].table, row["SDR"].row], []).append(row)
    for where, group in clips.items():
        names = told_apart([row["SDR"] for row in group], entry["over"])
        terms = [term(row[role]) for row in group for role in ("SDR", "NSDR")]
        yield Group(where, tuple(terms), lambda numbers, n=names: _one(numbers, n, entry))  # type: ignore[misc]


def _at(numbers: Sequence[Approx], entry: Entry) -> Judgement:
    wanted = float(entry["at"]["value"])
    mixture = difference(*numbers)
    holds = meet(mixture, exact(wanted), slack(entry))
    words = "" if holds else f"The mixture's SDR comes out {_apart(mixture.value - wanted)} it."
    return Judgement(
        either(holds),
        mixture.value,
        wanted,
        mixture.tolerance + slack(entry),
        words,
    )


def _one(numbers: Sequence[Approx], names: Sequence[str], entry: Entry) -> Judgement:
    single = [difference(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    allowed = slack(entry) / 2
    shared = max(
        ([n for n, other in enumerate(single) if _holds(other, each.low - allowed, allowed)]
         for each in single),
        key=len,
    )  # fmt: skip
    holds = len(shared) == len(single)
    values = [each.value for each in single]
    said = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True))
    known = [each.tolerance for each in single if not each.unknown] or [0.0]
    words = f"The mixture's SDR in dB: {said}."
    if not holds and 2 * len(shared) > len(single):
        out = [name for n, name in enumerate(names) if n not in shared]
        words += f" Apart from the others: {', '.join(out)}."
    return Judgement(
        AGREES if holds else DISAGREES,
        f"{min(values):.2f} to {max(values):.2f}",
        "one number",
        2 * max(known) + slack(entry),
        words,
        f"{min(values):.2f} to {max(values):.2f}",
    )


def _holds(number: Approx, point: float, allowed: float) -> bool:
    """Return whether a number may be at a point, which is the lowest end of some number's."""
    return number.low - allowed <= point + EPSILON and number.high + allowed >= point - EPSILON


def _apart(off: float) -> str:
    return f"{abs(off):.2f} dB {'above' if off > 0 else 'below'}"


def _power(decibels: float) -> float:
    """Return 10^(x/10), infinite where that is too large."""
    return math.inf if decibels > 3000 else 10.0 ** (decibels / 10)


def _decibels(power: float) -> float:
    if power in (0.0, math.inf):
        return math.inf if power else -math.inf
    return 10 * math.log10(power)
