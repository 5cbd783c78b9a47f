"""Networks inside the EM-like iteration: learning, answers, and what they fall back to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unmix.datasets.track import Clip, Scene
from unmix.errors import AudioError, SpecError
from unmix.models.multichannel import MASK, MultichannelNetwork
from unmix.spatial import SpatialModel, images, mean_power, updated
from unmix.stft import STFT
from unmix.training.checkpoint import Keeping

RATE = 8000
STFT_SMALL = STFT(RATE, 256, 128, "hamming")
SOURCES = ("low", "middle", "high")
PLACES = {"low": (1.0, 0.2), "middle": (0.7, 0.7), "high": (0.1, 1.0)}
SMALL = MultichannelNetwork(
    hidden=1, units=64, components=60, rate=0.05, iterations=25, times=2, usual=2, batch=32
)


def song(name, seconds=3.0, seed=0):
    """Three panned bands of noise that come and go."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    time = np.arange(samples) / RATE
    references = {}
    for number, (source, gains) in enumerate(PLACES.items()):
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        frequency = np.fft.rfftfreq(samples, 1 / RATE)
        band = (frequency > 1200 * number + 200) & (frequency < 1200 * number + 1900)
        sound = np.fft.irfft(spectrum * band, samples)
        sound *= 0.5 + 0.5 * np.sin(2 * np.pi * (0.7 + 0.3 * number) * time + rng.uniform(0, 6))
        references[source] = (np.array(gains)[:, None] * sound).astype(np.float32)
    return Scene(Clip(name, name), RATE, sum(references.values()), references)


@pytest.fixture(scope="module")
def songs():
    return [song(f"song {number}", seed=number) for number in range(3)]


def learnt(settings, songs, keeping=None):
    def mixed(part):
        return iter(songs[:-1] if part == "train" else songs[-1:])

    return settings.learn(mixed, STFT_SMALL, 0, SOURCES, keeping or Keeping())[0]


@pytest.fixture(scope="module")
def systems(songs):
    joint = replace(SMALL, joint=True, second=False)
    return {False: learnt(SMALL, songs), True: learnt(joint, songs)}


def gain(mixed, estimates):
    """Mean improvement of the signal-to-error ratio over the mixture, in dB."""
    better = [
        np.sum((mixed.mixture - true) ** 2) / np.sum((estimates[name] - true) ** 2)
        for name, true in mixed.references.items()
    ]
    return float(np.mean(10 * np.log10(better)))


@pytest.mark.parametrize("joint", [False, True])
def test_every_answer_separates_a_song_that_training_never_heard(systems, joint):
    fresh = song("fresh", seed=9)
    answers = systems[joint].answers(fresh.mixture)
    names = ("IIIa", "IIIb") if joint else ("I", "II")
    summed = [f"{name} as summed, 2" for name in names if joint]
    assert list(answers) == [MASK, *summed, *(f"{n}, {step}" for n in names for step in (1, 2))]
    for name, estimates in answers.items():
        assert list(estimates) == list(SOURCES)
        assert all(each.shape == fresh.mixture.shape for each in estimates.values())
        assert gain(fresh, estimates) > 5.0, name
    usual = systems[joint].separate(fresh.mixture)
    assert systems[joint].usual == list(answers)[-1]
    for source in SOURCES:
        assert np.array_equal(usual[source], answers[systems[joint].usual][source])


def test_the_first_iteration_is_algorithm_1_written_out(systems):
    separator, fresh = systems[True], song("fresh", seed=9)
    x = STFT_SMALL.forward(torch.from_numpy(fresh.mixture))
    v = separator._joint(x).psds
    delta = 1e-5 * float(STFT_SMALL.taps().sum()) ** 2
    c = images(x, SpatialModel.isotropic(v, 2), delta)
    r = torch.einsum("jifn,jkfn->jfik", c, c.conj()) / v.sum(-1)[..., None, None]
    found = images(x, SpatialModel(v, r.to(torch.complex128)), delta)
    wanted = STFT_SMALL.inverse(found, fresh.mixture.shape[1]).numpy()
    answer = separator.answers(fresh.mixture)["IIIa, 1"]
    for number, name in enumerate(SOURCES):
        assert np.allclose(answer[name], wanted[number], atol=1e-4)


@pytest.mark.parametrize("summed", [False, True])
def test_regularisation_is_that_of_spectra_divided_by_the_sum_of_the_window_or_not(systems, summed):
    separator, fresh = systems[True], song("fresh", seed=9)
    unit = 1.0 if summed else float(STFT_SMALL.taps().sum())
    spectrum = STFT_SMALL.forward(torch.from_numpy(fresh.mixture))
    x = spectrum / unit
    model = SpatialModel.isotropic(separator._joint(spectrum).psds / unit**2, 2)
    for _ in range(2):
        model = SpatialModel(model.psds, updated(x, model, 1e-5, "psds"))
    wanted = STFT_SMALL.inverse(images(x, model, 1e-5) * unit, fresh.mixture.shape[1]).numpy()
    answer = separator.answers(fresh.mixture)[f"IIIa{' as summed' * summed}, 2"]
    for number, name in enumerate(SOURCES):
        assert np.allclose(answer[name], wanted[number], atol=1e-4)


def test_what_is_regularised_more_is_quieter(systems):
    answers = systems[True].answers(song("fresh", seed=9).mixture)
    for name in SOURCES:
        strong, weak, free, least = (
            float(np.sum(answers[f"{each}, 2"][name] ** 2))
            for each in ("IIIa", "IIIa as summed", "IIIb", "IIIb as summed")
        )
        assert strong < 0.999 * weak
        assert free == pytest.approx(weak, rel=1e-3)
        assert least == pytest.approx(weak, rel=1e-3)


def test_networks_tell_powers_and_never_less_than_none(systems):
    fresh = song("fresh", seed=9)
    x = STFT_SMALL.forward(torch.from_numpy(fresh.mixture))
    true = mean_power(
        STFT_SMALL.forward(torch.from_numpy(np.stack(list(fresh.references.values()))))
    )
    for joint, separator in systems.items():
        model = (
            separator._joint(x)
            if joint
            else separator.iterate(
                x, SpatialModel.isotropic(mean_power(x).expand(3, *x.shape[1:]), 2), "first"
            )
        )
        assert (model.psds >= 0).all()
        off = (model.psds.sqrt() - true.sqrt()).square().sum()
        assert off < 0.3 * true.sum(), f"joint: {joint}"


@pytest.mark.parametrize("joint", [False, True])
def test_a_stored_separator_answers_the_same(systems, joint):
    separator, fresh = systems[joint], song("fresh", seed=9)
    again = separator.settings.restore(separator.tensors(), STFT_SMALL, SOURCES)
    one, other = (each.separate(fresh.mixture) for each in (separator, again))
    assert all(np.array_equal(one[name], other[name]) for name in SOURCES)


class StopError(Exception):
    pass


def test_an_interrupted_training_ends_in_the_same_networks(songs, systems, tmp_path):
    def stop(row):
        if row["network"] == "second middle":
            raise StopError

    with pytest.raises(StopError):
        learnt(SMALL, songs, Keeping(tmp_path, "x", log=stop))
    resumed = learnt(SMALL, songs, Keeping(tmp_path, "x")).tensors()
    whole = systems[False].tensors()
    assert whole.keys() == resumed.keys()
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-6) for name in whole)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("case", ["identical channels", "silent channel", "short", "pause"])
def test_no_recording_ends_in_nan(systems, joint, case):
    mixture = song("fresh", seconds=0.05 if case == "short" else 2.0, seed=9).mixture.copy()
    if case == "identical channels":
        mixture[1] = mixture[0]
    elif case == "silent channel":
        mixture[1] = 0
    elif case == "pause":
        mixture[:, 4000:12000] = 0
    for estimates in systems[joint].answers(mixture).values():
        assert all(np.isfinite(each).all() for each in estimates.values())


def test_silence_and_nan_are_one_clear_error(systems):
    with pytest.raises(AudioError, match="the mixture is silent"):
        systems[True].separate(np.zeros((2, 4000), np.float32))
    with pytest.raises(AudioError, match="the mixture is not finite"):
        systems[False].separate(np.full((2, 4000), np.nan, np.float32))


def test_what_cannot_be_learnt_from_is_one_clear_error(songs):
    with pytest.raises(AudioError, match="no songs to learn from"):
        learnt(SMALL, [])
    with pytest.raises(AudioError, match=r"tiny: \d frames"):
        learnt(SMALL, [song("tiny", seconds=0.01)])
    with pytest.raises(SpecError, match="a second set of networks beside one for all"):
        replace(SMALL, joint=True)
    with pytest.raises(SpecError, match="0 iterations"):
        replace(SMALL, times=0)
    with pytest.raises(SpecError, match="the answer after iteration 3 of 2"):
        replace(SMALL, usual=3)


def test_identity_matrices_and_true_powers_are_the_ordinary_mask(systems):
    """What `mask` says of a network is what one channel's Wiener mask says."""
    fresh = song("fresh", seed=9)
    x = STFT_SMALL.forward(torch.from_numpy(fresh.mixture))
    v = systems[True]._joint(x).psds
    wanted = STFT_SMALL.inverse(v[:, None] / v.sum(0).clamp(min=1e-30) * x, fresh.mixture.shape[1])
    answer = systems[True].answers(fresh.mixture)[MASK]
    for number, name in enumerate(SOURCES):
        assert np.allclose(answer[name], wanted[number].numpy(), atol=1e-4)


def test_covariances_point_where_the_sources_stand(systems):
    fresh = song("fresh", seed=9)
    x = STFT_SMALL.forward(torch.from_numpy(fresh.mixture))
    model = systems[True]._joint(x)
    for _ in range(2):
        model = SpatialModel(model.psds, updated(x, model, 1e-5, "psds"))
    for number, source in enumerate(SOURCES):
        # Bins in the middle of the source's band, 31.25 Hz each.
        middle = round((1200 * number + 1050) / 31.25)
        _, vectors = torch.linalg.eigh(model.covariances[number, middle])
        place = torch.tensor(PLACES[source], dtype=torch.complex128)
        along = (vectors[:, -1].conj() @ place).abs() / place.norm()
        assert float(along) > 0.9, source
