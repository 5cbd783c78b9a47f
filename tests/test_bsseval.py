"""BSS Eval against closed forms, against museval, and at the edges."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from unmix.errors import UnmixError
from unmix.metrics.bsseval import CEILING, bss_eval_sources


@pytest.fixture(scope="module")
def museval_metrics():
    """museval's metrics alone: importing the package asks for ffmpeg."""
    package = importlib.util.find_spec("museval")
    assert package is not None
    where = Path(package.submodule_search_locations[0]) / "metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def scored(references, estimates, taps=512, **more):
    """SDR, SIR and SAR of one system, `(3, sources)`."""
    found = bss_eval_sources(
        torch.as_tensor(np.array(references)),
        torch.as_tensor(np.array(estimates))[None],
        taps,
        **more,
    )
    return torch.stack(found)[:, 0].numpy()


def decibels(over, under):
    return 10 * math.log10(over / under)


# Closed forms.


def test_orthogonal_parts_have_the_scores_of_their_energies():
    target, other, rest = np.linalg.qr(noise(4000, 3))[0].T
    a, b, c = 1.0, 0.3, 0.1
    first = 5.0 * (a * target + b * other + c * rest)
    second = other + 0.2 * rest
    sdr, sir, sar = scored([2.0 * target, 0.7 * other], [first, second], taps=1)
    assert sdr[0] == pytest.approx(decibels(a**2, b**2 + c**2), abs=1e-9)
    assert sir[0] == pytest.approx(decibels(a**2, b**2), abs=1e-9)
    assert sar[0] == pytest.approx(decibels(a**2 + b**2, c**2), abs=1e-9)
    assert sdr[1] == pytest.approx(decibels(1, 0.04), abs=1e-9)
    assert sir[1] == CEILING


def test_three_sources_interfere_together():
    target, one, two, rest = np.linalg.qr(noise(3000, 4))[0].T
    estimate = target + 0.2 * one + 0.1 * two + 0.05 * rest
    sdr, sir, sar = scored([target, one, two], [estimate] * 3, taps=1)[:, 0]
    assert sdr == pytest.approx(decibels(1, 0.04 + 0.01 + 0.0025), abs=1e-9)
    assert sir == pytest.approx(decibels(1, 0.05), abs=1e-9)
    assert sar == pytest.approx(decibels(1.05, 0.0025), abs=1e-9)


def delayed(sound, *coefficients):
    return np.convolve(sound, coefficients)[: len(sound)]


def test_a_filter_within_the_taps_is_forgiven_and_a_longer_one_is_not():
    target, other = noise(2, 3000)
    target[-40:] = other[-40:] = 0.0
    filtered = delayed(target, 0.5, 0.0, -1.0, *([0.0] * 8), 0.7)
    for taps, forgiven in ((12, True), (32, True), (11, False), (1, False)):
        sdr, sir, _ = scored([target, other], [filtered, other], taps)[:, 0]
        assert (sdr == CEILING) == forgiven
        assert (sir == CEILING) == forgiven
    # An advance cannot be explained by delays.
    assert scored([filtered, other], [target, other], 12)[0, 0] < 20


def test_a_leak_of_the_other_source_is_interference_also_when_filtered():
    target, other = noise(2, 4000)
    target[-40:] = other[-40:] = 0.0
    _, sir, sar = scored([target, other], [target + delayed(other, 0, 0.3), other], 16)[:, 0]
    assert sar == CEILING
    assert sir == pytest.approx(decibels(1, 0.09), abs=0.6)


def test_a_mixture_has_no_artefacts():
    sources = noise(2, 2000)
    assert (scored(sources, [sources.sum(0)] * 2, 8)[2] == CEILING).all()


# Another implementation.


def agree(metrics, references, estimates):
    theirs = metrics.bss_eval(
        references[..., None],
        estimates[..., None],
        window=np.inf,
        compute_permutation=False,
        filters_len=512,
        framewise_filters=False,
        bsseval_sources_version=True,
    )
    ours = scored(references, estimates)
    for name, found, index in (("SDR", ours[0], 0), ("SIR", ours[1], 2), ("SAR", ours[2], 3)):
        wanted = theirs[index][:, 0]
        near = wanted < 60
        assert near.any() or name == "SAR", "the mixture's SAR alone is beyond comparing"
        assert np.abs(found - wanted)[near].max(initial=0.0) < 1e-4, name
        assert (found[~near] > 59).all(), name


def test_museval_agrees_on_noise(museval_metrics):
    references = noise(3, 5000)
    spread = np.array([[1.0, 0.3, 0.1], [0.2, 1.0, 0.0], [0.5, 0.5, 1.0]])
    estimates = spread @ references + 0.2 * noise(3, 5000, seed=1)
    agree(museval_metrics, references, estimates)


def test_museval_agrees_on_coloured_sound(museval_metrics, make_track):
    track = make_track("a_1_01", 1.5)
    voice, other = (sound[0].astype(float) for sound in track.sources.values())
    estimates = np.stack([voice + 0.3 * np.roll(other, 3), np.tanh(10 * other) + 0.1 * voice])
    agree(museval_metrics, np.stack([voice, other]), estimates)


def test_museval_agrees_on_real_clips(museval_metrics, real_tracks):
    from unmix.models.oracle import Oracle
    from unmix.stft import STFT

    for track in real_tracks:
        references = dict(track.sources)
        mixture = sum(references.values())
        found = Oracle("irm").fit([], STFT(), 0).separate(mixture, references)
        true, estimates = (
            np.concatenate([sounds["voice"], sounds["accompaniment"]]).astype(float)
            for sounds in (references, found)
        )
        agree(museval_metrics, true, estimates)
        agree(museval_metrics, true, np.concatenate([mixture, mixture]).astype(float))


# What the scores do not depend on.


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_levels_do_not_matter(scale):
    references = noise(2, 3000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 3000, seed=1)
    wanted = scored(references, estimates, 64)
    for a, b in ((scale, 1.0), (1.0, scale), (scale, scale), (scale, 1 / scale)):
        assert np.abs(scored(a * references, b * estimates, 64) - wanted).max() < 1e-8
    one_quiet = references * [[scale], [1.0]]
    assert np.abs(scored(one_quiet, estimates, 64) - wanted).max() < 1e-8


def test_sign_and_silence_around_do_not_matter():
    references = noise(2, 2000)
    estimates = references + 0.3 * noise(2, 2000, seed=1)
    wanted = scored(references, estimates, 32)
    assert np.allclose(scored(-references, estimates, 32), wanted, atol=1e-9)
    wide = [np.pad(sound, ((0, 0), (100, 300))) for sound in (references, estimates)]
    assert np.allclose(scored(*wide, 32), wanted, atol=1e-9)


def test_systems_and_targets_are_scored_each_for_itself():
    references = torch.as_tensor(noise(3, 1500))
    systems = references + 0.5 * torch.as_tensor(noise(4, 3, 1500, seed=1))
    together = torch.stack(bss_eval_sources(references, systems, 16))
    for number in range(4):
        alone = torch.stack(bss_eval_sources(references, systems[number : number + 1], 16))
        assert torch.allclose(alone[:, 0], together[:, number], atol=1e-9)
    one = torch.stack(bss_eval_sources(references, systems, 16, targets=[1]))
    assert torch.equal(one[..., 1], together[..., 1])
    assert one[..., [0, 2]].isnan().all()


# Edges.


def test_silence_cannot_be_scored():
    references = noise(2, 1000)
    estimates = references + 0.1
    silent = references.copy()
    silent[0] = 0.0
    assert np.isnan(scored(silent, estimates, 8)).all(), "a silent reference voids the clip"
    silent = estimates.copy()
    silent[0] = 0.0
    found = scored(references, silent, 8)
    assert np.isnan(found[:, 0]).all(), "a silent estimate voids itself"
    assert np.isfinite(found[:, 1]).all()


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.25])
def test_copies_of_a_reference_do_not_stop_the_scoring(factor):
    target = noise(1, 3000)
    estimate = target + 0.3 * noise(1, 3000, seed=1)
    alone = scored(target, estimate, 64)[:, 0]
    twice = scored(
        np.concatenate([target, factor * target]), np.concatenate([estimate, estimate]), 64
    )
    assert twice[0] == pytest.approx(alone[0], abs=1e-3)
    assert twice[2] == pytest.approx(alone[2], abs=1e-3)
    assert (twice[1] > 60).all(), "what a copy explains is no interference"


def test_sound_shorter_than_the_filters_is_scored():
    found = scored(noise(2, 100), noise(2, 100, seed=1), 512)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("references", "estimates", "taps"),
    [
        ((2, 100), (1, 2, 99), 8),
        ((2, 100), (1, 3, 100), 8),
        ((2, 100), (2, 100), 8),
        ((100,), (1, 2, 100), 8),
        ((2, 0), (1, 2, 0), 8),
        ((2, 100), (1, 2, 100), 0),
    ],
)
def test_shapes_that_do_not_belong_together_are_named(references, estimates, taps):
    with pytest.raises(UnmixError, match=r"references of shape .* Expected: \(sources, samples\)"):
        bss_eval_sources(torch.ones(references), torch.ones(estimates), taps)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_no_numbers_are_refused(bad):
    good = torch.as_tensor(noise(2, 50))
    spoilt = good.clone()
    spoilt[1, 3] = bad
    with pytest.raises(UnmixError, match="holds NaN or infinity"):
        bss_eval_sources(good, spoilt[None], 4)
    with pytest.raises(UnmixError, match="holds NaN or infinity"):
        bss_eval_sources(spoilt, good[None], 4)
