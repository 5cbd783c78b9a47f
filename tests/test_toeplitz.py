"""Correlations at short lags, and least squares by their structure, against the plain way."""

import numpy as np
import pytest
import torch

from unmix.errors import UnmixError
from unmix.metrics import correlations
from unmix.metrics.correlations import lags_across, lags_of_frames, lags_of_spans
from unmix.metrics.toeplitz import BlockToeplitz, first_rows, schur


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def plain_lags(first, second, taps):
    """The definition, `(spans, rows, columns, taps)`."""
    length = first.shape[-1]
    lags = [
        torch.einsum("isn,qsn->siq", first[..., : length - lag], second[..., lag:])
        if lag < length
        else torch.zeros(first.shape[1], len(first), len(second)).double()
        for lag in range(taps)
    ]
    return torch.stack(lags, dim=-1)


def delayed(references, taps):
    """References `(rows, samples)`, delayed and padded: columns by delay, then by reference."""
    wide = torch.nn.functional.pad(references, (0, taps - 1))
    return torch.stack([wide.roll(delay, -1) for delay in range(taps)]).flatten(0, 1).T


# Correlations.


@pytest.mark.parametrize(("samples", "taps"), [(5000, 512), (700, 7), (300, 512), (10, 1), (1, 3)])
def test_lags_are_what_their_definition_says(samples, taps):
    first, second = noise(3, 2, samples), noise(2, 2, samples, seed=1)
    wanted = plain_lags(first, second, taps)
    assert torch.allclose(lags_of_spans(first, second, taps), wanted, atol=1e-11)


def test_lags_do_not_depend_on_how_much_memory_they_may_take(monkeypatch):
    first, second = noise(2, 3, 9000), noise(1, 3, 9000, seed=1)
    wanted = lags_of_spans(first, second, 100)
    for budget in (1, 100_000, 1_000_000):
        monkeypatch.setattr(correlations, "BUDGET", budget)
        assert torch.allclose(lags_of_spans(first, second, 100), wanted, atol=1e-10)


def test_a_whole_is_the_sum_of_its_pieces_and_of_what_crosses_their_borders():
    first, second = noise(2, 900), noise(3, 900, seed=1)
    pieces = [
        lags_of_spans(first[:, None, a:b], second[:, None, a:b], 50)[0]
        for a, b in ((0, 400), (400, 700), (700, 900))
    ]
    across = lags_across(first, second, [400, 700], 50)
    whole = lags_of_spans(first[:, None], second[:, None], 50)[0]
    assert torch.allclose(sum(pieces) + across.sum(0), whole, atol=1e-11)


@pytest.mark.parametrize(
    ("window", "hop"), [(200, 200), (300, 200), (200, 300), (301, 200), (1000, 1000), (999, 1)]
)
def test_frames_and_the_whole_are_correlated_in_one_pass(window, hop):
    first, second = noise(2, 1050), noise(1, 1050, seed=1)
    frames, whole = lags_of_frames(first, second, window, hop, 40)
    spans = [sound.unfold(-1, window, hop) for sound in (first, second)]
    assert torch.allclose(frames, plain_lags(*spans, 40), atol=1e-11)
    assert torch.allclose(whole, plain_lags(first[:, None], second[:, None], 40), atol=1e-11)


def test_single_precision_is_single_precision():
    first = noise(1, 1, 20_000)
    exact = lags_of_spans(first, first, 16)
    rough = lags_of_spans(first, first, 16, torch.float32)
    error = (rough - exact).abs().max() / exact.max()
    assert 1e-10 < error < 1e-5


# The factor.


@pytest.mark.parametrize(("references", "taps"), [(1, 64), (2, 48), (3, 7), (8, 16), (4, 1)])
def test_schur_gives_the_cholesky_factor(references, taps):
    sounds = noise(references, 2, 400)
    sounds = sounds / sounds.square().sum(-1, keepdim=True).sqrt()
    lags = lags_of_spans(sounds, sounds, taps)
    upper, served = schur(lags, torch.full((2,), 1e-9).double(), rows=8)
    assert served.all()
    for number in range(2):
        wide = delayed(sounds[:, number], taps)
        gram = wide.T @ wide + 1e-9 * torch.eye(references * taps)
        assert torch.allclose(upper[number].triu(), torch.linalg.cholesky(gram).mT, atol=1e-10)
        assert torch.allclose(first_rows(lags, taps)[number], wide.T @ wide, atol=1e-12)


def test_schur_says_which_matrices_have_no_factor():
    lags = torch.zeros(2, 1, 1, 4).double()
    lags[0, ..., 0] = 1.0
    lags[1, 0, 0] = torch.tensor([1.0, 2.0, 0.0, 0.0])
    _, served = schur(lags, torch.zeros(2).double(), rows=1)
    assert served.tolist() == [True, False]


# Least squares.


def solved(references, sounds, taps):
    """Filters of `sounds` (columns, samples), and the energies of the projections."""
    lags = lags_of_spans(references[:, None], references[:, None], taps)
    products = lags_of_spans(references[:, None], sounds[:, None], taps)
    matrix = BlockToeplitz(lags)
    filters = matrix.solve(products)
    return filters[0], (filters * products).sum((1, 3))[0], matrix


def test_filters_are_those_of_least_squares():
    references, sounds = noise(3, 500), noise(4, 500, seed=1)
    filters, energies, _ = solved(references, sounds, 20)
    wide = delayed(references, 20)
    wanted = torch.linalg.lstsq(wide, torch.nn.functional.pad(sounds, (0, 19)).T).solution
    assert torch.allclose(filters.permute(2, 0, 1).flatten(0, 1), wanted, atol=1e-10)
    assert torch.allclose(energies, (wide @ wanted).square().sum(0), atol=1e-9)


@pytest.mark.parametrize("level", [1e-12, 1e6])
def test_levels_of_references_scale_filters_and_nothing_else(level):
    references, sounds = noise(2, 500), noise(1, 500, seed=1)
    wanted, energy, _ = solved(references, sounds, 16)
    scale = torch.tensor([[level], [1.0]]).double()
    filters, same, _ = solved(references * scale, sounds, 16)
    assert torch.allclose(filters * scale[..., None], wanted, rtol=1e-9, atol=1e-15)
    assert torch.allclose(same, energy, rtol=1e-10)


@pytest.mark.parametrize("copy", [1.0, -1.0, 0.25])
def test_a_copy_of_a_reference_changes_no_projection(copy):
    references, sounds = noise(2, 2000), noise(3, 2000, seed=1)
    sounds[1] += 5 * references[0]
    _, wanted, _ = solved(references, sounds, 64)
    twice = torch.cat([references, copy * references])
    filters, energies, matrix = solved(twice, sounds, 64)
    assert torch.allclose(energies, wanted, rtol=1e-10)
    assert filters.abs().max() < 20, "the filters stay small, too"
    assert matrix._rung.tolist() == [0], "the first loading served"


def test_a_silent_reference_spans_nothing():
    references, sounds = noise(2, 600), noise(2, 600, seed=1)
    _, wanted, _ = solved(references, sounds, 16)
    with_silence = torch.stack([references[0], torch.zeros(600).double(), references[1]])
    filters, energies, _ = solved(with_silence, sounds, 16)
    assert torch.allclose(energies, wanted, rtol=1e-11)
    assert (filters[1] == 0).all()


def test_references_that_hardly_differ_are_told_apart_as_least_squares_does():
    # Of a low band only, and one the other delayed: dependent but for the edges of the sound.
    spectrum = torch.fft.rfft(noise(2000))
    spectrum[300:] = 0
    low = torch.fft.irfft(spectrum, 2000)
    references = torch.stack([low, 0.5 * low.roll(5) + 1e-6 * noise(2000, seed=2)])
    sounds = (low + noise(2000, seed=1))[None]
    _, energies, _ = solved(references, sounds, 64)
    wide = delayed(references, 64)
    condition = torch.linalg.cond(wide).item() ** 2
    assert condition > 1e12
    target = torch.nn.functional.pad(sounds, (0, 63)).T
    best = torch.linalg.lstsq(wide, target, driver="gelsd", rcond=1e-15).solution
    assert energies.item() == pytest.approx((wide @ best).square().sum().item(), rel=1e-4)


def test_what_is_no_correlation_is_refused():
    lags = torch.ones(1, 2, 2, 8).double()
    lags[0, 0, 1] = 5.0
    with pytest.raises(UnmixError, match="cannot be solved for these references"):
        BlockToeplitz(lags)
