"""Supervised NMF: its updates only descend, agree with scikit-learn's, and separate."""

import math

import numpy as np
import pytest
import torch

from unmix.audio import at_level
from unmix.datasets.track import Clip, Track
from unmix.errors import DatasetError, SpecError
from unmix.models.nmf import (
    ConvolutiveNmf,
    approximation,
    divergence,
    factorise,
    shared_out,
    shifted,
)
from unmix.models.separator import masked_estimates
from unmix.runs.scene import scenes
from unmix.runs.spec import Mixing
from unmix.stft import STFT

RATE = 8000


def draw(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).double() + 0.05


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("lags", [1, 2, 5])
def test_no_update_raises_the_divergence(lags, learn):
    spectrum = draw(20, 30, seed=0) ** 3
    bases, activations = draw(lags, 20, 4, seed=1), draw(4, 30, seed=2)
    values = [float(divergence(spectrum, approximation(bases, activations)))]
    for _ in range(40):
        bases, activations = factorise(spectrum, bases, activations, 1, learn=learn)
        values.append(float(divergence(spectrum, approximation(bases, activations))))
    falls = -np.diff(values)
    assert (falls > -1e-9 * values[0]).all()
    assert values[-1] < (0.8 if learn else 1.0) * values[1], "and it goes on to fall"


@pytest.mark.parametrize("lags", [1, 4])
def test_what_is_exact_stays_also_at_the_end_of_the_clip(lags):
    bases, activations = draw(lags, 20, 4, seed=1), draw(4, 15, seed=2)
    spectrum = approximation(bases, activations)
    for learn in (True, False):
        found = approximation(*factorise(spectrum, bases, activations, 3, learn=learn))
        assert torch.allclose(found, spectrum, rtol=1e-7)


def test_held_bases_stay_and_learnt_ones_sum_to_one():
    spectrum, bases = draw(20, 30, seed=0), draw(3, 20, 4, seed=1)
    held, _ = factorise(spectrum, bases, draw(4, 30, seed=2), 5, learn=False)
    assert torch.equal(held, bases)
    learnt, activations = factorise(spectrum, bases, draw(4, 30, seed=2), 5)
    assert torch.allclose(learnt.sum((0, 1)), torch.ones(4).double(), atol=1e-6)
    assert (learnt >= 0).all()
    assert (activations >= 0).all()


def test_without_lags_it_is_scikit_learns_nmf():
    from sklearn.decomposition import non_negative_factorization

    spectrum, bases, activations = draw(25, 40, seed=0), draw(1, 25, 5, seed=1), draw(5, 40, seed=2)
    ours = approximation(*factorise(spectrum, bases, activations, 30))
    # Its left factor is updated first, as the activations are here.
    left, right, _ = non_negative_factorization(
        spectrum.T.numpy(),
        W=activations.T.numpy().copy(),
        H=bases[0].T.numpy().copy(),
        n_components=5,
        init="custom",
        solver="mu",
        beta_loss="kullback-leibler",
        tol=0,
        max_iter=30,
    )
    assert np.allclose(ours.numpy(), (left @ right).T, rtol=1e-6)


def test_a_spectrum_of_one_moving_base_is_found():
    # What sweeps upwards over three frames needs lags; without them one base cannot hold it.
    base = torch.zeros(3, 12, 1).double()
    for lag in range(3):
        base[lag, 2 + 4 * lag, 0] = 1.0
    strokes = torch.zeros(1, 40).double()
    strokes[0, [3, 11, 12, 25]] = torch.tensor([1.0, 2.0, 1.0, 3.0]).double()
    spectrum = approximation(base, strokes)
    left = {}
    for lags in (1, 3):
        found = factorise(spectrum, draw(lags, 12, 1, seed=1), draw(1, 40, seed=2), 300)
        left[lags] = float(divergence(spectrum, approximation(*found)))
    assert left[3] < 1e-3 * left[1]


@pytest.mark.parametrize(
    ("lag", "wanted"),
    [(0, [1, 2, 3]), (1, [0, 1, 2]), (-1, [2, 3, 0]), (9, [0] * 3), (-9, [0] * 3)],
)
def test_shifts_move_silence_in(lag, wanted):
    assert shifted(torch.tensor([[1, 2, 3]]), lag).tolist() == [wanted]


def tones(frequencies, seconds, seed):
    """Tones that come and go, shape `(1, samples)`."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(len(time))
    for frequency in frequencies:
        loudness = np.abs(np.sin(2 * np.pi * rng.uniform(0.5, 2.0) * time + rng.uniform(0, 6)))
        sound += loudness * np.sin(2 * np.pi * frequency * time)
    return at_level(sound[None].astype(np.float32))


def track(seed, seconds=2.0):
    sources = {
        "voice": tones((900, 1400, 2300), seconds, seed),
        "accompaniment": tones((200, 350, 3300), seconds, seed + 100),
    }
    return Track(Clip(f"a_{seed}_01", f"a_{seed}"), RATE, sources)


def error_db(found, wanted):
    return 10 * math.log10(np.square(found - wanted).sum() / np.square(wanted).sum())


@pytest.fixture(scope="module")
def settings():
    return ConvolutiveNmf(rank=4, lags=2, iterations=40, steps=40)


def test_sources_of_separate_spectra_are_learnt_and_separated(settings):
    stft = STFT()
    separator = settings.fit(scenes([track(0), track(1)], Mixing()), stft, seed=0)
    heard = track(7)
    mixture = heard.sources["voice"] + heard.sources["accompaniment"]
    found = separator.separate(mixture)
    for name, sound in heard.sources.items():
        assert found[name].shape == sound.shape
        assert error_db(found[name], sound) < -20
    assert np.allclose(found["voice"] + found["accompaniment"], mixture, atol=1e-6)
    again = settings.restore(separator.tensors(), stft).separate(mixture)
    assert np.array_equal(again["voice"], found["voice"])


def test_one_seed_gives_one_result_and_another_another(settings):
    one, same, other = (
        settings.fit(scenes([track(0)], Mixing()), STFT(), seed).tensors() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_learning_takes_no_more_frames_than_asked_for():
    brief = ConvolutiveNmf(rank=2, lags=1, iterations=3, steps=3, frames=10)
    whole, start = track(0), track(0)
    cut = {name: sound.copy() for name, sound in start.sources.items()}
    for name, sound in cut.items():
        # Ten frames of 256 reach no further than 9 hops and half a window.
        sound[:, 9 * 256 + 512 :] = sound[:, 9 * 256 + 512 :][:, ::-1]
        assert not np.array_equal(sound, whole.sources[name])
    one = brief.fit(scenes([whole], Mixing()), STFT(), 0).tensors()
    other = brief.fit(scenes([Track(whole.clip, RATE, cut)], Mixing()), STFT(), 0).tensors()
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


TRIO = {"horn": (200, 350), "piano": (900, 1400), "violin": (2300, 3300)}


def solo(name, seed, seconds=2.0):
    sounds = {name: tones(TRIO[name], seconds, seed)}
    return Track(Clip(f"{name}/{seed}", f"{name} {seed}"), RATE, sounds)


@pytest.fixture
def solos():
    return [solo(name, 10 * number + seed) for number, name in enumerate(TRIO) for seed in (0, 1)]


RECORDED = Mixing(level="recorded", targets=tuple(TRIO))


def test_three_sources_are_learnt_from_solos_and_separated(solos):
    ordinary = ConvolutiveNmf(rank=3, lags=1, iterations=40, steps=40)
    separator = ordinary.fit(scenes(solos, RECORDED), STFT(), 0, RECORDED.targets)
    assert {name: bases.shape for name, bases in separator.tensors().items()} == dict.fromkeys(
        TRIO, (1, STFT().bins, 3)
    )
    heard = {name: solo(name, 77).sources[name] for name in TRIO}
    mixture = sum(heard.values())
    found = separator.separate(mixture)
    assert list(found) == list(TRIO)
    for name, sound in heard.items():
        assert error_db(found[name], sound) < -20
    assert np.allclose(sum(found.values()), mixture, atol=1e-6)
    again = ordinary.restore(separator.tensors(), STFT(), RECORDED.targets).separate(mixture)
    assert all(np.array_equal(again[name], found[name]) for name in TRIO)


def test_scenes_of_several_references_teach_what_solos_teach(solos):
    brief = ConvolutiveNmf(rank=2, lags=1, iterations=5, steps=3)
    alone = brief.fit(scenes(solos[::2], RECORDED), STFT(), 0, RECORDED.targets).tensors()
    sounds = {name: track.sources[name] for name, track in zip(TRIO, solos[::2], strict=True)}
    together = [Track(Clip("all", "all"), RATE, sounds)]
    found = brief.fit(scenes(together, RECORDED), STFT(), 0, RECORDED.targets).tensors()
    assert all(torch.equal(alone[name], found[name]) for name in TRIO)


def test_each_of_many_clips_has_an_equal_share_and_no_more_are_held():
    few = ConvolutiveNmf(rank=2, lags=1, iterations=3, steps=3, frames=9)
    parts = []
    for number in range(1, 6):
        parts = few._cut([*parts, torch.full((4, 20), float(number))])
        assert sum(part.shape[1] for part in parts) <= 9
    assert [part.shape[1] for part in parts] == [1] * 5
    assert [float(part[0, 0]) for part in parts] == [1, 2, 3, 4, 5]


def test_shares_of_a_mixture_are_what_masks_give_and_silence_goes_in_equal_parts():
    from unmix import masks

    stft, sound = STFT(), tones((300, 700), 1.0, 0)
    spectrum = stft.forward(torch.from_numpy(sound))
    silent = {name: torch.zeros(spectrum.shape[1:]) for name in TRIO}
    for share in shared_out(silent, spectrum, sound, stft).values():
        assert np.allclose(share, sound / 3, atol=1e-6)
    first, second = (draw(*spectrum.shape[1:], seed=seed).float() for seed in (0, 1))
    found = shared_out({"voice": first, "rest": second}, spectrum, sound, stft)
    mask = masks.soft(first, second)[None]
    wanted = masked_estimates(mask, spectrum, sound, stft, ("voice", "rest"))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_silent_clips_teach_nothing_and_a_source_without_sound_is_refused(solos):
    brief = ConvolutiveNmf(rank=2, lags=1, iterations=3, steps=3)
    mute = Track(Clip("horn/mute", "mute"), RATE, {"horn": np.zeros((1, 9000), np.float32)})
    wanted = brief.fit(scenes(solos, RECORDED), STFT(), 0, RECORDED.targets).tensors()
    found = brief.fit(scenes([mute, *solos], RECORDED), STFT(), 0, RECORDED.targets).tensors()
    assert all(torch.equal(wanted[name], found[name]) for name in TRIO)
    piano = scenes([mute, *(each for each in solos if "piano" in each.sources)], RECORDED)
    with pytest.raises(DatasetError, match="a part without clips of horn, violin"):
        brief.fit(piano, STFT(), 0, RECORDED.targets)


@pytest.mark.parametrize("name", ["rank", "lags", "iterations", "steps", "frames"])
def test_settings_must_be_positive(name):
    with pytest.raises(SpecError, match=f"{name}=0.*Expected: positive numbers"):
        ConvolutiveNmf(**{name: 0})


def test_a_part_without_clips_is_refused(settings):
    with pytest.raises(DatasetError, match="a part without clips"):
        settings.fit([], STFT(), 0)
