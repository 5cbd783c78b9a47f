"""Masks against their equations, and through the whole chain from sound to sound."""

import math

import numpy as np
import pytest
import torch

from unmix import masks
from unmix.errors import SpecError
from unmix.models.oracle import ORACLES, Oracle
from unmix.stft import STFT


def magnitudes(seed):
    return torch.rand(2, 40, 30, generator=torch.Generator().manual_seed(seed)).double() + 1e-3


def spectra(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(500, generator=generator, dtype=torch.complex128)


def error_db(found, wanted):
    return 10 * math.log10(np.square(found - wanted).sum() / np.square(wanted).sum() + 1e-30)


@pytest.mark.parametrize(("a", "b"), [(3.0, 1.0), (0.5, 0.5), (0.0, 2.0), (2.0, 0.0), (-3.0, 1.0)])
def test_soft_is_the_share_of_the_magnitude(a, b):
    found = float(masks.soft(torch.tensor(a).double(), torch.tensor(b).double()))
    assert found == pytest.approx(abs(a) / (abs(a) + abs(b)), abs=1e-7)


@pytest.mark.parametrize(
    ("a", "b", "wanted"), [(3.0, 1.0, 1.0), (1.0, 3.0, 0.0), (-3.0, 1.0, 1.0), (1.0, 1.0, 0.0)]
)
def test_binary_takes_the_louder(a, b, wanted):
    assert float(masks.binary(torch.tensor(a), torch.tensor(b))) == wanted


def test_masks_of_both_sources_sum_to_one_also_in_silence():
    a, b = magnitudes(0), magnitudes(1)
    a[0, :5], b[0, 3:9] = 0.0, 0.0
    for make in (masks.soft, masks.ideal_ratio):
        both = make(a, b) + make(b, a)
        assert torch.allclose(both, torch.ones_like(both), atol=1e-12)
    differ = a != b
    both = masks.binary(a, b) + masks.binary(b, a)
    assert torch.equal(both[differ], torch.ones_like(both[differ]))
    nothing = torch.zeros(3)
    assert torch.equal(masks.soft(nothing, nothing), torch.full((3,), 0.5))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_masking_what_is_masked_changes_nothing(scale):
    mixture = scale * magnitudes(2)
    mask = masks.soft(magnitudes(0), magnitudes(1))
    again = masks.soft(mask * mixture, (1 - mask) * mixture)
    assert torch.allclose(again, mask, atol=10 * masks.TINY / float(mixture.min()))
    hard = masks.binary(magnitudes(0), magnitudes(1))
    assert torch.equal(masks.binary(hard * mixture, (1 - hard) * mixture), hard)


def test_a_single_output_is_masked_by_its_ratio_but_never_amplified():
    estimate, mixture = (
        torch.tensor([0.5, -0.5, 2.0, 0.0, 0.0]),
        torch.tensor([1.0, 1.0, 1.0, 1.0, 0]),
    )
    found = masks.clipped_ratio(estimate, mixture)
    assert found.tolist() == pytest.approx([0.5, 0.5, 1.0, 0.0, 0.0], abs=1e-7)


def test_phase_sensitive_has_the_least_error_of_all_real_masks_in_each_bin():
    target, mixture = spectra(0), spectra(0) + spectra(1)
    best = masks.phase_sensitive(target, mixture)
    assert ((best >= 0) & (best <= 1)).all()
    assert 0 < float(((best > 0) & (best < 1)).double().mean()) < 1, "some are clipped, some not"
    error = (target - best * mixture).abs()
    for value in torch.linspace(0, 1, 201, dtype=torch.float64):
        assert (error <= (target - value * mixture).abs() + 1e-12).all()
    assert torch.equal(
        masks.phase_sensitive(target[:3], torch.zeros(3, dtype=target.dtype)), best[:3] * 0
    )


def test_oracles_rank_by_what_they_may_use(make_track):
    from unmix.audio import mix

    stft, errors = STFT(), {}
    sources = make_track("a_1_01", 2.0).sources
    mixture, voice, other = mix(sources["voice"], sources["accompaniment"], 0.0)
    for kind in ORACLES:
        separator = Oracle(kind).fit([], stft, 0)
        found = separator.separate(mixture, {"voice": voice, "accompaniment": other})
        errors[kind] = error_db(found["voice"], voice)
        assert np.allclose(found["voice"] + found["accompaniment"], mixture, atol=1e-6)
    assert errors["psm"] < min(errors["ibm"], errors["irm"], errors["printed"])
    assert max(errors.values()) < -5


@pytest.mark.parametrize("kind", ORACLES)
def test_sources_that_never_sound_together_come_back_whole(kind, make_track):
    sources = make_track("a_1_01", 2.0).sources
    voice, other = sources["voice"].copy(), sources["accompaniment"].copy()
    # A window's length of silence lies between them, so that no frame hears both.
    voice[:, 7000:], other[:, :8100] = 0.0, 0.0
    separator = Oracle(kind).fit([], STFT(), 0)
    found = separator.separate(voice + other, {"voice": voice, "accompaniment": other})
    assert error_db(found["voice"], voice) < -100
    assert error_db(found["accompaniment"], other) < -100


@pytest.mark.parametrize("kind", ORACLES)
def test_an_oracle_masks_any_number_of_sources(kind):
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 8000
    tones = {
        name: np.sin(2 * np.pi * f * time) for name, f in (("a", 500), ("b", 1500), ("c", 3000))
    }
    true = {
        name: (tone + 1e-3 * rng.standard_normal(8000)).astype(np.float32)[None]
        for name, tone in tones.items()
    }
    mixture = sum(true.values())
    found = Oracle(kind).fit([], STFT(), 0).separate(mixture, true)
    assert list(found) == list(true)
    for name, sound in true.items():
        assert error_db(found[name], sound) < -30
    if kind in ("ibm", "irm"):
        assert np.allclose(sum(found.values()), mixture, atol=1e-4), "the masks add up to one"


def test_an_oracle_needs_the_truth_and_a_known_mask():
    with pytest.raises(SpecError, match="without references"):
        Oracle("irm").fit([], STFT(), 0).separate(np.ones((1, 2000), np.float32))
    with pytest.raises(SpecError, match=r"unknown oracle 'imr'.*did you mean 'irm'"):
        Oracle("imr")
