"""BSS Eval against closed forms, against museval and mir_eval, and at the edges."""

import math
import warnings

import numpy as np
import pytest
import torch

from unmix import audio
from unmix.errors import UnmixError
from unmix.metrics import bsseval
from unmix.metrics.bsseval import CEILING, References, bss_eval
from unmix.metrics.referee import museval_scores

METRICS = ("SDR", "ISR", "SIR", "SAR")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def sounds(array):
    """`(..., samples)` of mono sources as `(..., 1, samples)`."""
    return torch.as_tensor(np.array(array))[..., None, :]


def scored(references, estimates, taps=512, metric="sdr-v3", **more):
    """SDR, ISR, SIR and SAR of one system's mono estimates, `(4, sources)` or with frames."""
    found = bss_eval(sounds(references), sounds(estimates)[None], metric, taps=taps, **more)
    values = torch.stack(list(found.named().values()))[:, 0].numpy()
    return values[..., 0] if values.shape[-1] == 1 and "window" not in more else values


def decibels(over, under):
    return 10 * math.log10(over / under)


# Closed forms.


def test_orthogonal_parts_have_the_scores_of_their_energies():
    target, other, rest = np.linalg.qr(noise(4000, 3))[0].T
    a, b, c = 1.0, 0.3, 0.1
    first = 5.0 * (a * target + b * other + c * rest)
    second = other + 0.2 * rest
    sdr, isr, sir, sar = scored([2.0 * target, 0.7 * other], [first, second], taps=1)
    assert sdr[0] == pytest.approx(decibels(a**2, b**2 + c**2), abs=1e-9)
    assert sir[0] == pytest.approx(decibels(a**2, b**2), abs=1e-9)
    assert sar[0] == pytest.approx(decibels(a**2 + b**2, c**2), abs=1e-9)
    assert sdr[1] == pytest.approx(decibels(1, 0.04), abs=1e-9)
    assert sir[1] == CEILING
    assert np.isnan(isr).all(), "sources have no images"


def test_of_images_a_gain_is_an_error_and_of_sources_it_is_none():
    target, other, rest = np.linalg.qr(noise(4000, 3))[0].T
    estimate = 1.2 * target + 0.3 * other + 0.1 * rest
    sdr, isr, sir, sar = scored([target, other], [estimate, other], 1, "images-v3")[:, 0]
    assert sdr == pytest.approx(decibels(1, 0.04 + 0.09 + 0.01), abs=1e-9)
    assert isr == pytest.approx(decibels(1, 0.04), abs=1e-9)
    assert sir == pytest.approx(decibels(1.44, 0.09), abs=1e-9)
    assert sar == pytest.approx(decibels(1.44 + 0.09, 0.01), abs=1e-9)


def test_a_filtered_image_is_spatial_error_alone():
    left, right, other = noise(3, 3000)
    source = np.stack([left, right])
    swapped = np.stack([right, left])
    references = torch.tensor(np.array([source, np.stack([other, -other])]))
    estimates = torch.tensor(np.array([source + 0.1 * swapped, references[1]]))[None]
    found = bss_eval(references, estimates, "images-v3", taps=1)
    size = (source**2).sum()
    assert found.isr[0, 0, 0] == pytest.approx(decibels(size, 0.01 * size), abs=1e-9)
    assert found.sdr[0, 0, 0] == pytest.approx(found.isr[0, 0, 0].item(), abs=1e-9)
    assert found.sir[0, 0, 0] == found.sar[0, 0, 0] == CEILING


def test_three_sources_interfere_together():
    target, one, two, rest = np.linalg.qr(noise(3000, 4))[0].T
    estimate = target + 0.2 * one + 0.1 * two + 0.05 * rest
    sdr, _, sir, sar = scored([target, one, two], [estimate] * 3, taps=1)[:, 0]
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
        sdr, _, sir, _ = scored([target, other], [filtered, other], taps)[:, 0]
        assert (sdr == CEILING) == forgiven
        assert (sir == CEILING) == forgiven
    # An advance cannot be explained by delays.
    assert scored([filtered, other], [target, other], 12)[0, 0] < 20


def test_a_leak_of_the_other_source_is_interference_also_when_filtered():
    target, other = noise(2, 4000)
    target[-40:] = other[-40:] = 0.0
    _, _, sir, sar = scored([target, other], [target + delayed(other, 0, 0.3), other], 16)[:, 0]
    assert sar == CEILING
    assert sir == pytest.approx(decibels(1, 0.09), abs=0.6)


def test_the_three_scores_of_sources_obey_their_identity():
    references = noise(3, 3000)
    estimates = references + 0.4 * references[::-1] + 0.2 * noise(3, 3000, seed=1)
    sdr, _, sir, sar = 10 ** (scored(references, estimates, 32) / 10)
    # |target + interference|^2 is the sum of both: projections are orthogonal.
    assert np.allclose(1 / sdr, 1 / sir + (1 + 1 / sir) / sar, rtol=1e-9)


# Frames and versions.


def test_frames_of_version_3_are_scored_each_for_itself():
    references = noise(2, 4500)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 4500, seed=1)
    for metric in ("sdr-v3", "images-v3"):
        frames = scored(references, estimates, 32, metric, window=1000, hop=700)
        assert frames.shape == (4, 2, 6), "the rest is no frame"
        for number in range(6):
            part = slice(700 * number, 700 * number + 1000)
            alone = scored(references[:, part], estimates[:, part], 32, metric)
            assert np.allclose(frames[..., number], alone, atol=1e-9, equal_nan=True)


def test_version_4_over_one_frame_is_version_3():
    references = noise(2, 3000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 3000, seed=1)
    whole = scored(references, estimates, 64, "images-v3")
    for window in (3000, 5000):
        frames = scored(references, estimates, 64, "v4", window=window)
        assert np.allclose(frames[..., 0], whole, atol=1e-9)


def test_version_4_holds_a_frame_against_the_filters_of_the_whole():
    references = noise(2, 4000)
    factor = np.where(np.arange(4000) < 2000, 1.0, 0.2)
    frames = scored(references, references * factor, 8, "v4", window=2000)
    assert (frames[3, 0] < 10).all(), "one filter cannot follow a gain that changes"
    own = scored(references, references * factor, 8, "images-v3", window=2000)
    assert own[3, 0].min() > 50, "filters of each frame can"


# Other implementations.


def agree(references, estimates, metric, near=1e-4, far=1e-2, **more):
    """Hold `(sources, channels, samples)` against museval; return the largest difference."""
    rule = {"silence": "frame"} if more.get("window") or metric == "v4" else {}
    references, estimates = (torch.as_tensor(np.array(each)) for each in (references, estimates))
    ours = bss_eval(references, estimates[None], metric, **more, **rule).named()
    theirs = museval_scores(references, estimates[None], metric, **more).named()
    worst = 0.0
    for name in METRICS:
        found, wanted = ours[name], theirs[name]
        assert found.shape == wanted.shape
        assert (found.isnan() == wanted.isnan()).all(), name
        difference = (found - wanted).abs()
        for low, high, allowed in ((-100, 60, near), (60, 100, far)):
            some = difference[(wanted >= low) & (wanted < high)]
            assert (some < allowed).all(), f"{name} of {metric}: {some.max()} dB"
        assert (found[wanted >= CEILING] > CEILING - 1).all()
        worst = max(worst, difference[wanted < 60].max().item() if (wanted < 60).any() else 0.0)
    return worst


CASES = [
    ("sdr-v3", {}),
    ("images-v3", {}),
    ("sdr-v3", {"window": 1000, "hop": 600}),
    ("images-v3", {"window": 1000, "hop": 1000}),
    ("v4", {"window": 1000, "hop": 1000}),
    ("v4", {"window": 1200, "hop": 800}),
    ("v4", {"window": 1000, "hop": 333}),
]


@pytest.mark.parametrize("taps", [1, 64])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("metric", "frames"), CASES)
def test_museval_agrees_on_noise(metric, frames, channels, taps):
    references = noise(3, channels, 4321)
    spread = np.array([[1.0, 0.3, 0.1], [0.2, 1.0, 0.0], [0.5, 0.5, 1.0]])
    estimates = np.einsum("jk,kcn->jcn", spread, references) + 0.2 * noise(
        *references.shape, seed=1
    )
    assert agree(references, estimates, metric, taps=taps, **frames) < 1e-9


@pytest.mark.parametrize("level", [1e-1, 1e-2, 1e-3, 1e-4])
def test_museval_agrees_on_good_and_very_good_estimates(level):
    references = noise(2, 1, 4000)
    estimates = references + level * (references[::-1] + noise(2, 1, 4000, seed=1))
    for metric in ("sdr-v3", "images-v3"):
        agree(references, estimates, metric, taps=128)
    agree(references, estimates, "v4", taps=128, window=1000, hop=1000)


@pytest.mark.parametrize("metric", ["sdr-v3", "images-v3", "v4"])
def test_museval_agrees_on_the_best_order(metric):
    references = noise(3, 1, 3000)
    estimates = (references + 0.3 * noise(3, 1, 3000, seed=1))[[2, 0, 1]]
    more = {"window": 1000, "hop": 1000} if metric == "v4" else {}
    agree(references, estimates, metric, taps=16, permute=True, **more)
    found = bss_eval(
        torch.tensor(references), torch.tensor(estimates)[None], metric, taps=16, permute=True
    )
    assert (found.permutation[0, :, 0] == torch.tensor([1, 2, 0])).all()


def test_orders_are_found_for_each_system_and_in_version_3_for_each_frame():
    references = torch.tensor(noise(2, 1, 2000))
    turned = torch.cat([references[..., :1000], references.flip(0)[..., 1000:]], -1)
    systems = torch.stack([references, references.flip(0), turned]) + 0.1 * torch.tensor(
        noise(3, 2, 1, 2000, seed=1)
    )
    found = bss_eval(references, systems, "sdr-v3", taps=4, window=1000, permute=True)
    assert found.permutation.tolist() == [[[0, 0], [1, 1]], [[1, 1], [0, 0]], [[0, 1], [1, 0]]]
    assert found.sdr.min() > 15
    whole = bss_eval(references, systems, "v4", taps=4, window=1000, permute=True)
    assert whole.permutation[:2].tolist() == [[[0, 0], [1, 1]], [[1, 1], [0, 0]]]


def test_museval_agrees_on_coloured_sound(make_track):
    track = make_track("a_1_01", 1.5)
    voice, other = (sound.astype(float) for sound in track.sources.values())
    estimates = np.stack([voice + 0.3 * np.roll(other, 3), np.tanh(10 * other) + 0.1 * voice])
    references = np.stack([voice, other])
    for metric in ("sdr-v3", "images-v3"):
        agree(references, estimates, metric)
    agree(references, estimates, "v4", window=4000, hop=4000)


def test_museval_agrees_on_real_clips(real_tracks):
    from unmix.models.oracle import Oracle
    from unmix.stft import STFT

    for track in real_tracks:
        references = dict(track.sources)
        mixture = sum(references.values())
        found = Oracle("irm").fit([], STFT(), 0).separate(mixture, references)
        true, estimates = (
            np.stack([sound["voice"], sound["accompaniment"]]).astype(float)
            for sound in (references, found)
        )
        for metric, frames in (
            ("sdr-v3", {}),
            ("images-v3", {}),
            ("v4", {"window": 8000, "hop": 8000}),
        ):
            agree(true, estimates, metric, **frames)
        agree(true, np.stack([mixture, mixture]).astype(float), "sdr-v3")


def test_museval_agrees_on_real_songs(real_data):
    """Four raw tracks of two songs, six seconds of each, at 44.1 kHz."""
    folders = sorted((real_data / "MedleyDB" / "Audio").glob("*/*_RAW"))
    if not folders:
        pytest.skip("no MedleyDB under UNMIX_DATA")
    for folder in folders[::7]:
        tracks = [audio.read(path, rate=44100)[0] for path in sorted(folder.glob("*"))[:4]]
        song = np.stack(tracks)[..., 5 * 44100 : 11 * 44100].astype(float)
        estimates = song + 0.1 * song.sum(0) + 1e-3 * noise(*song.shape)
        agree(song, estimates, "sdr-v3")
        agree(song, estimates, "v4")
        agree(song, estimates, "images-v3", window=88200, hop=44100)


def test_mir_eval_agrees():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        separation = pytest.importorskip("mir_eval.separation")
        references = noise(2, 3000)
        estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 3000, seed=1)
        sdr, sir, sar, _ = separation.bss_eval_sources(references, estimates, False)
        stereo = noise(2, 3000, 2)
        images = stereo + 0.3 * stereo[::-1] + 0.1 * noise(2, 3000, 2, seed=1)
        of_images = separation.bss_eval_images(stereo, images, False)[:4]
    assert np.allclose(scored(references, estimates)[[0, 2, 3]], [sdr, sir, sar], atol=1e-4)
    ours = bss_eval(torch.tensor(stereo).mT, torch.tensor(images).mT[None], "images-v3").named()
    assert np.allclose([ours[name][0, :, 0] for name in METRICS], of_images, atol=1e-4)


def test_what_museval_writes_above_100_db_is_rounding_noise_and_set_to_100():
    references = noise(2, 1, 2000)
    mixture = np.stack([references.sum(0)] * 2)
    theirs = museval_scores(torch.tensor(references), torch.tensor(mixture)[None], taps=8)
    assert (theirs.sar > 150).all()
    assert (scored(references[:, 0], mixture[:, 0], 8)[3] == CEILING).all()


def test_what_museval_gets_wrong_of_quiet_references_is_right_here():
    references = noise(2, 1, 3000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 1, 3000, seed=1)
    quiet = torch.tensor(1e-12 * references), torch.tensor(1e-12 * estimates)[None]
    wanted = scored(references[:, 0], estimates[:, 0], 8)
    assert np.allclose(bss_eval(*quiet, taps=8).sdr[0, :, 0], wanted[0], atol=1e-8)
    assert np.abs(museval_scores(*quiet, taps=8).sdr[0, :, 0].numpy() - wanted[0]).min() > 1


# What the scores do not depend on.


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_levels_do_not_matter(scale):
    references = noise(2, 3000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 3000, seed=1)
    wanted = scored(references, estimates, 64)[[0, 2, 3]]
    for a, b in ((scale, 1.0), (1.0, scale), (scale, scale), (scale, 1 / scale)):
        found = scored(a * references, b * estimates, 64)[[0, 2, 3]]
        assert np.abs(found - wanted).max() < 1e-8
    one_quiet = references * [[scale], [1.0]]
    assert np.abs(scored(one_quiet, estimates, 64)[[0, 2, 3]] - wanted).max() < 1e-8
    for metric, more in (("images-v3", {}), ("v4", {"window": 1000})):
        wanted_images = scored(references, estimates, 64, metric, **more)
        found = scored(scale * references, scale * estimates, 64, metric, **more)
        assert np.abs(found - wanted_images).max() < 1e-8


def test_signs_channels_and_silence_around_do_not_matter():
    references = noise(2, 2000)
    estimates = references + 0.3 * noise(2, 2000, seed=1)
    wanted = scored(references, estimates, 32)
    assert np.allclose(scored(-references, estimates, 32), wanted, atol=1e-9, equal_nan=True)
    wide = [np.pad(sound, ((0, 0), (100, 300))) for sound in (references, estimates)]
    assert np.allclose(scored(*wide, 32), wanted, atol=1e-9, equal_nan=True)
    stereo = torch.tensor(noise(2, 2, 2000))
    images = stereo + 0.3 * torch.tensor(noise(1, 2, 2, 2000, seed=1))
    both = [
        torch.stack(list(bss_eval(one, other, "images-v3", taps=16).named().values()))
        for one, other in ((stereo, images), (stereo.flip(1), images.flip(2)))
    ]
    assert torch.allclose(*both, atol=1e-9)


def test_systems_are_scored_each_for_itself_and_in_any_number(monkeypatch):
    references = torch.tensor(noise(3, 2, 1500))
    systems = references + 0.5 * torch.tensor(noise(4, 3, 2, 1500, seed=1))
    for metric in ("sdr-v3", "images-v3", "v4"):
        window = 500 if metric == "v4" else None
        known = References(references, metric, taps=16, window=window)
        together = known.score(systems)
        for number in range(4):
            alone = known.score(systems[number : number + 1])
            assert torch.allclose(alone.sar[0], together.sar[number], atol=1e-9)
        with monkeypatch.context() as patch:
            patch.setattr(bsseval, "MEMORY", 1)
            apart = bss_eval(references, systems, metric, taps=16, window=window)
        assert torch.allclose(apart.sar, together.sar, atol=1e-9)
        assert torch.equal(apart.permutation, together.permutation)


def test_clips_together_have_the_scores_that_they_have_alone(monkeypatch):
    lengths = (900, 1200, 1000)
    references, estimates = noise(3, 2, 1, 1200), noise(3, 4, 2, 1, 1200, seed=1)
    for number, length in enumerate(lengths):
        references[number, ..., length:] = estimates[number, ..., length:] = 0.0
    references, estimates = torch.tensor(references), torch.tensor(estimates)
    for metric in ("sdr-v3", "images-v3"):
        together = bss_eval(references, estimates, metric, taps=16)
        assert together.sdr.shape == (3, 4, 2, 1)
        monkeypatch.setattr(bsseval, "MEMORY", 100_000)
        apart = bss_eval(references, estimates, metric, taps=16)
        for number, length in enumerate(lengths):
            alone = bss_eval(
                references[number, ..., :length], estimates[number, ..., :length], metric, taps=16
            )
            assert torch.allclose(together.sdr[number], alone.sdr, atol=1e-9)
            assert torch.allclose(apart.sir[number], alone.sir, atol=1e-9)


def test_single_precision_costs_little_and_something():
    references = torch.tensor(noise(2, 1, 20_000))
    estimates = references + 0.1 * torch.tensor(noise(1, 2, 1, 20_000, seed=1))
    exact = References(references, taps=64).score(estimates)
    rough = References(references, taps=64, dtype=torch.float32).score(estimates)
    assert 0 < (exact.sar - rough.sar).abs().max() < 0.1


# Silence.


def test_a_silent_reference_has_no_scores_and_spoils_nobody_elses():
    references = noise(3, 1000)
    estimates = references + 0.3 * noise(3, 1000, seed=1)
    wanted = scored(references[1:], estimates[1:], 8, "images-v3")
    references[0] = 0.0
    found = scored(references, estimates, 8, "images-v3")
    assert np.isnan(found[:, 0]).all()
    assert np.allclose(found[:, 1:], wanted, atol=1e-9)


def test_a_silent_estimate_has_no_scores_but_an_sdr_of_images():
    references = noise(2, 1000)
    estimates = references + 0.3 * noise(2, 1000, seed=1)
    estimates[0] = 0.0
    assert np.isnan(scored(references, estimates, 8)[:, 0]).all()
    found = scored(references, estimates, 8, "images-v3")
    assert found[0, 0] == 0.0
    assert np.isnan(found[2:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


@pytest.mark.parametrize("metric", ["sdr-v3", "images-v3", "v4"])
def test_a_frame_with_silence_is_not_scored_unless_asked_for(metric):
    references = noise(2, 1, 3000)
    estimates = references + 0.3 * noise(2, 1, 3000, seed=1)
    references[0, :, 1000:2000] = 0.0
    estimates[1, :, 2000:] = 0.0
    both = torch.tensor(references), torch.tensor(estimates)[None]
    agree(references, estimates, metric, taps=8, window=1000, hop=1000)
    frame = bss_eval(*both, metric, taps=8, window=1000).sdr[0]
    assert frame.isnan().tolist() == [[False, True, True], [False, True, True]]
    own = bss_eval(*both, metric, taps=8, window=1000, silence="source")
    assert own.sdr[0].isnan().tolist()[0] == [False, True, False]
    assert own.sir[0].isnan().tolist() == [[False, True, False], [False, True, True]]
    assert not any(values.isinf().any() for values in own.named().values())


def test_stereo_in_antiphase_is_not_silence():
    left = noise(2, 1000)
    references = torch.tensor(np.stack([left, -left], axis=1))
    estimates = references + 0.3 * torch.tensor(noise(1, 2, 2, 1000, seed=1))
    found = bss_eval(references, estimates, "images-v3", taps=8)
    assert all(values.isfinite().all() for values in found.named().values())
    with pytest.raises(UnmixError, match=r"museval does not score this.*non-silent"):
        museval_scores(references, estimates, "images-v3", taps=8)


def test_a_source_alone_has_no_interference_to_be_measured_against():
    sdr, _, sir, sar = scored(noise(1, 1000), noise(1, 1000, seed=1), 8)[:, 0]
    assert np.isnan(sir)
    assert np.isfinite([sdr, sar]).all()


def test_nothing_is_scored_where_everything_is_silent():
    silent = torch.zeros(2, 2, 500)
    for metric in ("sdr-v3", "images-v3", "v4"):
        found = bss_eval(silent, silent[None], metric, taps=8)
        assert all(values.isnan().all() for values in found.named().values())


# References that depend on each other.


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.25])
def test_copies_of_a_reference_do_not_stop_the_scoring(factor):
    target = noise(1, 3000)
    estimate = target + 0.3 * noise(1, 3000, seed=1)
    alone = scored(target, estimate, 64)[:, 0]
    twice = scored(
        np.concatenate([target, factor * target]), np.concatenate([estimate, estimate]), 64
    )
    assert twice[0] == pytest.approx(alone[0], abs=1e-6)
    assert twice[3] == pytest.approx(alone[3], abs=1e-6)
    assert (twice[2] > 60).all(), "what a copy explains is no interference"


@pytest.mark.parametrize("metric", ["images-v3", "v4"])
def test_mono_sources_panned_to_stereo_score_as_their_one_channel_does(metric):
    """Dual mono, as real multitracks have it: the Gram matrix is singular, the scores are not."""
    mono = noise(2, 1, 3000)
    noisy = mono + 0.2 * mono[::-1] + 0.1 * noise(2, 1, 3000, seed=1)
    more = {"taps": 64, "window": 1000 if metric == "v4" else None}
    wanted = bss_eval(torch.tensor(mono), torch.tensor(noisy)[None], metric, **more).named()
    pan = np.array([[[1.0], [0.5]], [[0.3], [-1.0]]])
    both = torch.tensor(mono * pan), torch.tensor(noisy * pan)[None]
    found = bss_eval(*both, metric, **more).named()
    for name in ("SDR", "ISR", "SIR", "SAR"):
        assert torch.allclose(found[name], wanted[name], atol=1e-6), name


@pytest.mark.parametrize("metric", ["sdr-v3", "images-v3", "v4"])
def test_rounding_to_single_precision_tells_no_channels_apart(metric):
    """Panned sounds as floats in a file: their channels differ by rounding, and by nothing else."""
    mono = noise(2, 1, 16000)
    noisy = mono + 0.3 * mono[::-1] + 0.02 * noise(2, 1, 16000, seed=1)
    pan = np.array([[[0.9], [0.4]], [[0.3], [0.8]]])
    more = {"window": 8000} if metric == "v4" else {}
    found, wanted = (
        bss_eval(
            torch.tensor(mono * pan).to(kind),
            torch.tensor(noisy * pan)[None].to(kind),
            metric,
            **more,
        ).named()
        for kind in (torch.float32, torch.float64)
    )
    for name in METRICS:
        assert torch.allclose(found[name], wanted[name], atol=0.2, equal_nan=True), name


def test_sound_shorter_than_the_filters_is_scored():
    found = scored(noise(2, 100), noise(2, 100, seed=1), 512)
    assert np.isfinite(found[[0, 2, 3]]).all()


# Bad input.


@pytest.mark.parametrize(
    ("references", "estimates", "message"),
    [
        ((2, 100), (1, 2, 100), r"references of shape \(2, 100\).*Expected: \(sources, channels"),
        ((2, 1, 0), (1, 2, 1, 0), r"references of shape \(2, 1, 0\)"),
        ((2, 1, 100), (1, 2, 1, 99), r"estimates of shape \(1, 2, 1, 99\) for references of"),
        ((2, 1, 100), (1, 3, 1, 100), "estimates of shape"),
        ((2, 1, 100), (1, 2, 2, 100), "estimates of shape"),
        ((2, 1, 100), (2, 1, 100), "estimates of shape"),
        ((2, 1, 100), (0, 2, 1, 100), "estimates of shape"),
        ((5, 2, 1, 100), (4, 1, 2, 1, 100), "estimates of shape"),
        ((2, 1000, 2), (1, 2, 1000, 2), r"1000 channels of 2 samples.*samples last"),
    ],
)
def test_shapes_that_do_not_belong_together_are_named(references, estimates, message):
    with pytest.raises(UnmixError, match=message):
        bss_eval(torch.ones(references), torch.ones(estimates), taps=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "v3"}, "unknown metric 'v3'.*Expected: sdr-v3, images-v3, v4"),
        ({"taps": 0}, "taps of 0 samples"),
        ({"taps": 100_000}, r"100000 taps for 2 references take 320 GB.*--taps 512"),
        ({"window": 0}, "window of 0 samples"),
        ({"window": 10, "hop": 0}, "hop of 0 samples"),
        ({"hop": 10}, "a hop of 10 samples without a window"),
        ({"silence": "none"}, "unknown rule of silence 'none'"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(UnmixError, match=message):
        bss_eval(torch.ones(2, 1, 50), torch.ones(1, 2, 1, 50), **settings)


def test_several_clips_are_not_scored_in_frames():
    with pytest.raises(UnmixError, match="several clips at once, in frames"):
        bss_eval(torch.ones(3, 2, 1, 50), torch.ones(3, 1, 2, 1, 50), window=10)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_no_numbers_are_refused(bad):
    good = torch.tensor(noise(2, 1, 50))
    spoilt = good.clone()
    spoilt[1, 0, 3] = bad
    for references, estimates in ((good, spoilt), (spoilt, good)):
        with pytest.raises(UnmixError, match="holds NaN or infinity"):
            bss_eval(references, estimates[None], taps=4)


def test_arrays_of_numpy_are_taken_too():
    references, estimates = noise(2, 1, 300), noise(1, 2, 1, 300, seed=1)
    found = bss_eval(references, estimates, taps=4)
    assert torch.equal(
        found.sdr, bss_eval(torch.tensor(references), torch.tensor(estimates), taps=4).sdr
    )
