"""Blind NMF: known spectra come apart, templates are found again, and the best permutation wins."""

import itertools
import math

import numpy as np
import pytest
import torch

from unmix.errors import AudioError, SpecError
from unmix.models.blind import (
    METHODS,
    BlindNmf,
    by_templates,
    components,
    gain_sdr,
    labelled,
    matched,
    mel_bands,
)
from unmix.models.nmf import approximation, divergence, factorise
from unmix.models.shifting import moved_back, shift_factorise, shifted_model, translated
from unmix.stft import STFT

RATE = 8000
WINDOW = STFT(RATE, 1024, 256, "hann")
PLAYERS = ("low", "high")
SCALE = 2.0 ** (np.array([0, 3, 5, 9]) / 12)


def draw(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).double() + 0.05


def player(lowest, partials, beat, seconds, seed):
    """A melody on four notes of one timbre, a note a beat, `(1, samples)`."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    melody = rng.permuted(np.tile(np.arange(4), (100, 1)), axis=1).ravel()
    frequency = lowest * SCALE[melody[(time / beat).astype(int)]]
    loudness = np.sin(np.pi * time / beat) ** 2
    sound = sum(
        height * loudness * np.sin(2 * np.pi * number * np.cumsum(frequency) / RATE)
        for number, height in partials.items()
    )
    return (0.05 * sound / sound.std())[None].astype(np.float32)


def duet(seconds=4.0, seed=0):
    # All partials of the one lie below 700 Hz, those of the other above 1100 Hz.
    return {
        "low": player(180.0, {1: 1.0, 2: 0.6}, 0.21, seconds, seed),
        "high": player(1150.0, {1: 1.0, 1.5: 0.8}, 0.29, seconds, seed + 1),
    }


def settings(method, **others):
    # These tones have no noise: 80 dB down there is nothing but what the window leaks.
    few = {"rank": 12, "iterations": 100, "updates": 100, "range_db": 40.0}
    return BlindNmf(**{"method": method} | few | others)


def separated(method, seed=0, sources=None, **others):
    true = sources or duet()
    separator = settings(method, **others).fit([], WINDOW, seed, tuple(true))
    return separator.separate(sum(true.values()), true)


def error_db(found, wanted):
    return 10 * math.log10(np.square(found - wanted).sum() / np.square(wanted).sum())


@pytest.mark.parametrize("method", METHODS)
def test_sources_of_separate_spectra_come_apart(method):
    true = duet()
    found = separated(method, sources=true)
    assert list(found) == list(true)
    for name, sound in true.items():
        assert found[name].shape == sound.shape
        assert found[name].dtype == np.float32
        assert error_db(found[name], sound) < -10
    assert np.allclose(sum(found.values()), sum(true.values()), atol=1e-6)


def test_shifted_nmf_knows_a_timbre_in_the_others_range():
    # On a logarithmic scale partials at 1 and 2 are another shape than those at 1 and 3, wherever
    # they stand; octaves between the players would make it easy for the other methods as well.
    bins, shifts = 96, 24
    timbres = torch.zeros(2, bins)
    timbres[0, [4, 28, 42]] = torch.tensor([0.5, 0.3, 0.2])
    timbres[1, [6, 44, 62]] = torch.tensor([0.4, 0.2, 0.4])
    moved = translated(timbres, shifts)
    notes = torch.cat([moved[0, [1, 4, 8, 15, 20]], moved[1, [0, 5, 9, 12, 22]]]).T
    whose = labelled(by_templates(notes, 2, settings("shifted", updates=200), 0))
    assert set(whose[:5]) == {whose[0]}
    assert set(whose[5:]) == {whose[5]}
    assert whose[0] != whose[5]


def test_transposed_copies_of_one_template_are_explained_by_it():
    template = torch.zeros(1, 40).double()
    template[0, [3, 10, 14]] = torch.tensor([0.5, 0.3, 0.2]).double()
    weights = torch.zeros(1, 12, 6).double()
    for number, (shift, weight) in enumerate(zip([0, 2, 3, 7, 8, 11], range(1, 7), strict=True)):
        weights[0, shift, number] = weight
    notes = shifted_model(template, weights)
    start = draw(10, 1, 40, seed=1), draw(10, 1, 12, 6, seed=2)
    found = shifted_model(*shift_factorise(notes, *start, 500))
    left = [float(divergence(notes, each)) for each in found]
    assert min(left) < 1e-3 * float(notes.sum())
    plain = factorise(notes, draw(1, 40, 1, seed=1), draw(1, 6, seed=2), 500)
    assert float(divergence(notes, approximation(*plain))) > 100 * min(left), "one base cannot"


def test_shifts_are_those_of_the_slow_triple_loop():
    templates, weights = draw(3, 20, seed=0), draw(3, 5, 7, seed=1)
    slow = torch.zeros(20, 7).double()
    for source, shift, row in itertools.product(range(3), range(5), range(20)):
        if row >= shift:
            slow[row] += templates[source, row - shift] * weights[source, shift]
    assert torch.allclose(shifted_model(templates, weights), slow, rtol=1e-12)
    back, values = torch.zeros(20).double(), draw(5, 20, seed=2)
    for shift, row in itertools.product(range(5), range(20)):
        if row + shift < 20:
            back[row] += values[shift, row + shift]
    assert torch.allclose(moved_back(values), back, rtol=1e-12)


def test_shifted_nmf_is_convolutive_nmf_along_the_other_axis():
    notes, templates, weights = draw(20, 7, seed=0), draw(2, 20, seed=1), draw(2, 5, 7, seed=2)
    ours = shifted_model(*shift_factorise(notes, templates, weights, 25))
    other = approximation(*factorise(notes.T, weights.permute(1, 2, 0), templates, 25)).T
    assert torch.allclose(ours, other, rtol=1e-6)


def test_starts_that_are_computed_together_do_not_meet():
    notes, templates, weights = (
        draw(15, 6, seed=0),
        draw(4, 2, 15, seed=1),
        draw(4, 2, 3, 6, seed=2),
    )
    together = shift_factorise(notes, templates, weights, 10)
    alone = shift_factorise(notes, templates[2], weights[2], 10)
    assert torch.allclose(together[0][2], alone[0], rtol=1e-10)
    assert torch.allclose(together[1][2], alone[1], rtol=1e-10)


@pytest.mark.parametrize("shifts", [1, 2, 6])
def test_no_update_of_shifted_nmf_raises_the_divergence(shifts):
    notes = draw(20, 9, seed=0) ** 3
    templates, weights = draw(2, 20, seed=1), draw(2, shifts, 9, seed=2)
    values = [float(divergence(notes, shifted_model(templates, weights)))]
    for _ in range(40):
        templates, weights = shift_factorise(notes, templates, weights, 1)
        values.append(float(divergence(notes, shifted_model(templates, weights))))
    assert (np.diff(values) < 1e-9 * values[0]).all()
    assert values[-1] < 0.9 * values[1], "and it goes on to fall"


def test_components_add_up_to_what_can_be_factorised():
    spectrum = (draw(30, 3, seed=0) @ draw(3, 50, seed=1)).float()
    bases, activations = components(spectrum, 3, 2000, 0)
    assert torch.allclose(bases.sum(0), torch.ones(3), atol=1e-5)
    assert float(divergence(spectrum, bases @ activations)) < 1e-4 * float(spectrum.sum())


@pytest.mark.parametrize("sources", [2, 3, 4])
def test_no_permutation_is_better_than_the_one_that_is_chosen(sources):
    rng = np.random.default_rng(sources)
    true = {str(n): rng.standard_normal((1, 500)) for n in range(sources)}
    # Mixed so thoroughly that the best estimate of one is often also that of another.
    sounds = [sum(rng.random() * sound for sound in true.values()) for _ in range(sources)]
    values = gain_sdr(np.concatenate(list(true.values())), np.concatenate(sounds))
    sums = [
        sum(values[row, column] for row, column in enumerate(order))
        for order in itertools.permutations(range(sources))
    ]
    found = matched(sounds, true)
    chosen = [next(n for n in range(sources) if sounds[n] is found[name]) for name in true]
    assert sorted(chosen) == list(range(sources))
    assert sum(values[row, column] for row, column in enumerate(chosen)) == max(sums) > min(sums)


def test_the_order_of_the_references_decides_nothing_but_names():
    true = duet()
    separator = settings("mel").fit([], WINDOW, 0, PLAYERS)
    one = separator.separate(sum(true.values()), true)
    other = separator.separate(sum(true.values()), dict(reversed(list(true.items()))))
    assert all(np.array_equal(one[name], other[name]) for name in true)


def test_gain_sdr_is_bss_evals_with_one_tap_and_takes_silence():
    from unmix.metrics.bsseval import bss_eval

    rng = np.random.default_rng(0)
    true = rng.standard_normal((2, 4000))
    true[1] -= true[0] * (true[0] @ true[1]) / (true[0] @ true[0])
    found = np.stack([3.0 * true[0] + 0.4 * true[1], rng.standard_normal(4000) - 2.0 * true[1]])
    wanted = bss_eval(
        torch.from_numpy(true[:, None]), torch.from_numpy(found[None, :, None]), taps=1
    )
    assert np.allclose(np.diag(gain_sdr(true, found)), wanted.sdr[0, :, 0], atol=1e-6)
    assert (gain_sdr(np.zeros((1, 9)), np.ones((1, 9))) == -100).all()
    assert gain_sdr(true, true)[0, 0] == 100


def test_no_source_goes_without_a_component():
    member = np.array([[5.0, 4.0, 3.0, 9.0], [1.0, 2.0, 0.5, 0.1], [0.2, 0.3, 0.1, 0.4]])
    # The second takes what it explains best, the third what it does of the rest.
    assert labelled(member).tolist() == [0, 1, 0, 2]
    assert sorted(labelled(np.zeros((3, 3)))) == [0, 1, 2]


def test_mel_bands_do_not_depend_on_the_scale_of_a_basis():
    bases = draw(WINDOW.bins, 4, seed=0).float().numpy()
    loud = mel_bands(bases, WINDOW, BlindNmf())
    assert loud.shape == (30, 4)
    assert np.allclose(loud.max(0), 1.0, atol=1e-4)
    assert loud.min() >= 0.0
    louder = mel_bands(bases * [1.0, 10.0, 0.1, 100.0], WINDOW, BlindNmf())
    assert np.allclose(loud, louder, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_gives_one_result_and_another_another(method):
    brief = {"iterations": 10, "updates": 10, "restarts": 2}
    one, same, other = (separated(method, seed, **brief)["low"] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_louder_mixtures_come_apart_in_the_same_way(method):
    brief = {"iterations": 20, "updates": 20, "restarts": 2}
    true = duet()
    quiet = separated(method, sources=true, **brief)
    loud = separated(method, sources={name: 512 * sound for name, sound in true.items()}, **brief)
    assert np.allclose(512 * quiet["low"], loud["low"], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_a_component_for_each_of_many_sources_leaves_none_silent(method):
    rng = np.random.default_rng(0)
    true = {str(n): rng.standard_normal((1, 8000)).astype(np.float32) for n in range(4)}
    found = separated(method, sources=true, rank=4, iterations=20, updates=20)
    assert min(np.abs(sound).max() for sound in found.values()) > 0.0


def test_errors_say_what_was_expected():
    with pytest.raises(SpecError, match=r"unknown blind method 'mfc'.*did you mean 'mfcc'"):
        BlindNmf("mfc")
    with pytest.raises(SpecError, match=r"restarts=0.*Expected: positive numbers"):
        BlindNmf(restarts=0)
    with pytest.raises(SpecError, match=r"31 cepstral coefficients of 30 bands"):
        BlindNmf(cepstra=31)
    with pytest.raises(SpecError, match=r"rank 1 for 2 sources.*one component for each"):
        BlindNmf(rank=1).fit([], WINDOW, 0, PLAYERS)
    with pytest.raises(SpecError, match=r"23 constant-Q bins.*rate of 216 Hz"):
        BlindNmf("shifted").fit([], STFT(216, 64, 16), 0, PLAYERS).separate(
            np.ones((1, 900), np.float32), dict.fromkeys(PLAYERS, np.ones((1, 900), np.float32))
        )


def test_mixtures_that_cannot_be_separated_are_refused():
    separator = settings("mel").fit([], WINDOW, 0, PLAYERS)
    true = duet()
    with pytest.raises(SpecError, match=r"without references.*which cluster is which.*trained"):
        separator.separate(sum(true.values()))
    brief = {name: sound[:, :1000] for name, sound in true.items()}
    with pytest.raises(AudioError, match=r"1000 samples.*one window of 1024 samples"):
        separator.separate(sum(brief.values()), brief)
    with pytest.raises(AudioError, match=r"silent"):
        separator.separate(np.zeros((1, 4000), np.float32), true)
