"""Checks of an audit: closed forms, simulated numbers with known truth, and the proofs' limits."""

import math
from decimal import Decimal

import numpy as np
import pytest
import torch

from unmix.errors import SpecError
from unmix.metrics.bsseval import bss_eval
from unmix.verdicts.checks import bsseval, facts, listening, numbers, sensitivity, weights
from unmix.verdicts.checks.numbers import Approx, exact, rounded


def decibels(first, second):
    return 10 * math.log10((first @ first) / (second @ second))


def printed(value, digits):
    """A number as a table prints it, with what it may have been rounded from."""
    return rounded(float(f"{value:.{digits}f}"), 0.5 * 10.0**-digits)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_identity_of_orthogonal_parts(rng):
    for _ in range(50):
        basis, _ = np.linalg.qr(rng.standard_normal((9, 3)))
        target, interference, artefacts = (basis * 10 ** rng.uniform(-2, 2, 3)).T
        sir = decibels(target, interference)
        sar = decibels(target + interference, artefacts)
        assert bsseval.sdr_of(sir, sar) == pytest.approx(decibels(target, interference + artefacts))


def test_identity_of_scores_that_bss_eval_computes(rng):
    sources = torch.from_numpy(rng.standard_normal((2, 1, 3000)))
    mixed = torch.stack([sources[0] + 0.3 * sources[1], sources[1] - 0.8 * sources[0]])
    estimates = mixed + 0.4 * torch.from_numpy(rng.standard_normal(mixed.shape))
    found = bss_eval(sources, estimates[None], "sdr-v3", taps=16)
    for sdr, sir, sar in zip(found.sdr.ravel(), found.sir.ravel(), found.sar.ravel(), strict=True):
        assert bsseval.sdr_of(float(sir), float(sar)) == pytest.approx(float(sdr), abs=1e-6)


def test_identity_at_its_ends():
    assert bsseval.sdr_of(7.0, math.inf) == pytest.approx(7.0)
    assert bsseval.sdr_of(math.inf, 7.0) == pytest.approx(7.0)
    assert bsseval.sdr_of(math.inf, math.inf) == math.inf
    assert bsseval.sdr_of(-math.inf, 7.0) == -math.inf


def test_bound_of_means_is_never_violated(rng):
    for _ in range(300):
        sir, sar = rng.normal(5, 10 ** rng.uniform(-1, 1.3), (2, 25))
        weight = rng.uniform(0.1, 3, 25)
        sdr = np.array([bsseval.sdr_of(*pair) for pair in zip(sir, sar, strict=True)])
        limit = bsseval.sdr_of(np.average(sir, weights=weight), np.average(sar, weights=weight))
        assert np.average(sdr, weights=weight) <= limit + 1e-9


def test_bound_of_means_is_tight_and_medians_have_none():
    alike = [bsseval.sdr_of(8.0, 6.0)] * 5
    assert np.mean(alike) == pytest.approx(bsseval.sdr_of(8.0, 6.0))
    # Four of five clips have one kind of error only, so that the medians of SIR and SAR hide them.
    sir, sar = [5.0, 5.0, 5.0, 40.0, 40.0], [40.0, 40.0, 5.0, 5.0, 5.0]
    sdr = [bsseval.sdr_of(*pair) for pair in zip(sir, sar, strict=True)]
    assert np.median(sdr) > bsseval.sdr_of(np.median(sir), np.median(sar)) + 3


def image_scores(true, spatial, interference, artefacts):
    """SDR, SIR and SAR of a spatial image, from the parts of its estimate."""
    return (
        decibels(true, spatial + interference + artefacts),
        decibels(true + spatial, interference),
        decibels(true + spatial + interference, artefacts),
    )


def test_images_stay_below_their_own_limit_and_reach_it(rng):
    above = 0
    for _ in range(2000):
        basis, _ = np.linalg.qr(rng.standard_normal((9, 4)))
        true = basis[:, 0]
        spatial = basis[:, :2] @ rng.normal(0, 0.7, 2)
        interference, artefacts = (basis[:, 2:] * 10 ** rng.uniform(-1, 0.3, 2)).T
        sdr, sir, sar = image_scores(true, spatial, interference, artefacts)
        assert sdr <= bsseval.images_sdr_of(sir, sar) + 1e-9
        above += sdr > bsseval.sdr_of(sir, sar) + 0.1
    assert above > 20, "images do exceed the limit of sources"
    # The limit is reached where the estimate is the image times 1 / (1 + Q).
    energy = 0.8
    true, left = np.eye(4)[0], 1 / (1 + energy)
    interference, artefacts = math.sqrt(energy) * left * np.diag([0, 0, 0.6, 0.8])[2:]
    sdr, sir, sar = image_scores(true, (left - 1) * true, interference, artefacts)
    assert sdr == pytest.approx(bsseval.images_sdr_of(sir, sar))


def test_means_of_images_have_no_bound_by_sir_and_sar():
    # Half the clips nearly perfect, half of them nearly silent: SDR is about 0 dB in the latter.
    low, high = bsseval.images_sdr_of(-60, 60), bsseval.images_sdr_of(60, 60)
    assert (low + high) / 2 > bsseval.images_sdr_of(0, 60) + 20


OPERATIONS = {
    "sum": (numbers.total, lambda x, y: x + y),
    "product": (numbers.product, lambda x, y: x * y),
    "difference": (lambda each: numbers.difference(*each), lambda x, y: x - y),
    "ratio": (lambda each: numbers.ratio(*each), lambda x, y: x / y),
    "mean": (numbers.mean, lambda x, y: (x + y) / 2),
    "min": (numbers.least, min),
    "max": (numbers.most, max),
    "abs": (lambda each: numbers.absolute(each[0]), lambda x, y: abs(x)),
    "floor": (lambda each: numbers.floor(each[0]), lambda x, y: math.floor(x)),
    "power": (
        lambda each: numbers.power(numbers.absolute(each[0]), each[1]), lambda x, y: abs(x) ** y
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_intervals_hold_what_was_rounded(name, rng):
    on_intervals, plain = OPERATIONS[name]
    for _ in range(200):
        true = rng.uniform(-5, 5, 2)
        given = [printed(value, int(rng.integers(0, 3))) for value in true]
        if name == "ratio" and given[1].value == 0:
            continue
        found = on_intervals(given)
        assert found.low - 1e-9 <= plain(*true) <= found.high + 1e-9


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (rounded(7.13, 0.005), rounded(7.13, 0.005), True),
        (rounded(7.13, 0.005), rounded(7.14, 0.005), False),
        (rounded(7.13, 0.005), rounded(7.1, 0.05), True),
        (rounded(7.13, 0.005), rounded(7.2, 0.05), False),
        (exact(3.0), exact(3.0), True),
        (exact(3.0), exact(4.0), False),
        (exact(6.205), rounded(6.2, 0.005), True),
        (Approx(9.0, -math.inf, math.inf), exact(1.0), True),
    ],
)
def test_numbers_that_can_be_one(one, other, same):
    assert numbers.meet(one, other) is same
    assert numbers.meet(other, one) is same


def test_short_clips_scores_come_back(rng):
    for _ in range(30):
        lengths = np.where(rng.random(30) < 0.2, rng.uniform(2, 19, 30), 20.0)
        lengths[0] = 11.0
        scores = rng.normal(6, 4, 30)
        plain, weighted = scores.mean(), np.average(scores, weights=lengths)
        found = weights.short_score(
            *map(exact, (plain, weighted, 30.0, 20.0, float(lengths.sum())))
        )
        assert found.value == pytest.approx(np.average(scores, weights=20 - lengths))
        hazy = weights.short_score(
            printed(plain, 2), printed(weighted, 2), exact(30.0), exact(20.0), exact(lengths.sum())
        )
        assert hazy.low <= found.value <= hazy.high


def test_short_clips_must_be_short():
    given = map(exact, (5.0, 5.1, 30.0, 20.0, 600.0))
    with pytest.raises(SpecError, match=r"do not last longer than the 600 s.*mend `clips`"):
        weights.short_score(*given)


def test_counts_behind_percentages_come_back(rng):
    for _ in range(100):
        n = int(rng.integers(5, 60))
        true = tuple(int(k) for k in rng.multinomial(n, [0.5, 0.3, 0.2]))
        found = listening.counts([printed(100 * k / n, 0) for k in true], n)
        assert true in found
    assert listening.counts([rounded(4.0, 0.5), rounded(93.0, 0.5), rounded(3.0, 0.5)], 30) == []


@pytest.mark.parametrize(("first", "second"), [(14, 8), (28, 1), (22, 6), (5, 5), (0, 7)])
def test_sign_test_by_counting(first, second):
    total = first + second
    tail = sum(math.comb(total, k) for k in range(max(first, second), total + 1)) / 2**total
    assert listening.p_value(first, second) == pytest.approx(min(1.0, 2 * tail))


@pytest.mark.parametrize(
    ("window", "level", "accuracy"),
    # Harris (1978), Table I.
    [
        ("boxcar", -13, 0.5),
        ("hann", -32, 0.6),
        ("hamming", -43, 0.6),
        ("blackman", -58, 0.6),
        ("blackmanharris", -92, 0.6),
    ],
)
def test_side_lobes_as_in_harris(window, level, accuracy):
    assert facts.highest_side_lobe(window) == pytest.approx(level, abs=accuracy)


def test_unknown_window():
    with pytest.raises(SpecError, match=r"unknown window 'bartlet'.*get_window"):
        facts.highest_side_lobe("bartlet")


def test_edits_of_a_printed_number():
    found = list(sensitivity.edits("-1.20"))
    assert "1.20" in found, "the sign"
    assert {"-2.20", "-1.90", "-1.21"} <= set(found), "one digit"
    assert {"-2.10", "-1.02"} <= set(found), "neighbours swapped, over the point too"
    assert "-0.21" not in found, "the first and the last are no neighbours"
    assert "-1.20" not in found
    assert len(found) == 1 + 3 * 9 + 2
    assert all(Decimal(text).as_tuple().exponent == -2 for text in found)
