"""The multichannel Wiener filter and the EM-like iteration: closed forms, and norbert."""

import norbert
import numpy as np
import pytest
import torch

from unmix.errors import AudioError, SpecError
from unmix.models.oracle import OracleSeparator
from unmix.spatial import (
    EPSILON,
    SpatialModel,
    filtered,
    heard,
    images,
    mean_power,
    powers,
    smallest,
    updated,
)
from unmix.stft import STFT

BINS, FRAMES, SOURCES = 5, 40, 3


def complex_noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


def covariances(channels, sources=SOURCES, bins=BINS, seed=1):
    root = complex_noise(sources, bins, channels, channels + 1, seed=seed)
    return root @ root.mH / channels


def psds(sources=SOURCES, bins=BINS, frames=FRAMES, seed=2):
    return complex_noise(sources, bins, frames, seed=seed).abs().square()


def model_of(channels, **sizes):
    return SpatialModel(psds(**sizes), covariances(channels))


def mixture_of(channels, frames=FRAMES, seed=3):
    return complex_noise(channels, BINS, frames, seed=seed)


def together(blocks):
    """The blocks of an iterator as one tensor, whose first frames are checked."""
    parts, length = [], 0
    for first, part in blocks:
        assert first == length
        parts.append(part)
        length += part.shape[-1]
    return torch.cat(parts, dim=-1)


@pytest.fixture(params=[1, 2, 3])
def channels(request):
    return request.param


# The filter.


@pytest.mark.parametrize("delta", [1e-20, 1e-3, 1.0])
def test_the_filter_is_a_direct_solution_of_equation_4(channels, delta):
    model, mixture = model_of(channels), mixture_of(channels)
    found = images(mixture, model, delta).numpy()
    v, covariance, x = (each.numpy() for each in (model.psds, model.covariances, mixture))
    for f in range(BINS):
        for n in range(0, FRAMES, 7):
            own = v[:, f, n, None, None] * covariance[:, f]
            gain = np.linalg.inv(own.sum(0) + delta * np.eye(channels))
            wanted = own @ gain @ x[:, f, n]
            assert np.allclose(found[:, :, f, n], wanted, rtol=1e-8, atol=1e-10)


def test_with_the_true_parameters_no_error_is_left_that_the_mixture_could_tell(channels):
    frames = 40_000
    covariance = covariances(channels, bins=1)
    v = psds(bins=1, frames=1).expand(SOURCES, 1, frames)
    root = torch.linalg.cholesky(covariance)
    noise = complex_noise(SOURCES, channels, 1, frames, seed=9)
    true = torch.einsum("jfik,jkfn->jifn", root, noise) * v[:, None].sqrt()
    mixture = true.sum(0)
    found = images(mixture, SpatialModel(v, covariance), 0.0)
    error = (found - true)[:, :, 0]
    apart = torch.einsum("jin,kn->jik", error, mixture[:, 0].conj()) / frames
    own = mixture.abs().square().mean() * error.abs().square().mean()
    assert float(apart.abs().max()) < 5 * float((own / frames).sqrt())
    worse = images(mixture, SpatialModel(v.flip(0), covariance), 0.0)
    assert (worse - true).abs().square().mean() > error.abs().square().mean()


def test_without_regularisation_the_images_sum_to_the_mixture(channels):
    model, mixture = model_of(channels), mixture_of(channels)
    off = [
        float((images(mixture, model, delta).sum(0) - mixture).abs().max())
        for delta in (1.0, 1e-2, 1e-4, 1e-20)
    ]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 1e-7


def test_one_channel_is_the_ordinary_wiener_mask():
    v, mixture = psds(), mixture_of(1)
    found = images(mixture, SpatialModel.isotropic(v, 1), 0.0)
    assert torch.allclose(found[:, 0], v / v.sum(0) * mixture[0], atol=1e-8)


def test_identity_matrices_give_every_channel_the_mask_of_one(channels):
    v, mixture = psds(), mixture_of(channels)
    found = images(mixture, SpatialModel.isotropic(v, channels), 0.0)
    assert torch.allclose(found, (v / v.sum(0))[:, None] * mixture, atol=1e-8)


def test_blocks_of_any_size_give_the_same(channels):
    model, mixture = model_of(channels), mixture_of(channels)
    whole = images(mixture, model, 1e-5)
    for block in (1, 7, FRAMES, 1000):
        found = together(filtered(mixture, model, 1e-5, block))
        assert torch.allclose(found, whole, rtol=1e-12, atol=1e-12)


def test_images_have_the_mixtures_type():
    mixture = mixture_of(2).to(torch.complex64)
    assert images(mixture, model_of(2), 1e-5).dtype == torch.complex64


# The updates.


@pytest.mark.parametrize("by", ["images", "psds"])
@pytest.mark.parametrize("block", [7, 256])
def test_covariances_are_those_of_the_images(channels, by, block):
    model, mixture = model_of(channels), mixture_of(channels)
    c = images(mixture, model, 1e-5)
    power = mean_power(c) if by == "images" else model.psds
    wanted = torch.einsum("jifn,jkfn->jfik", c, c.conj()) / power.sum(-1)[..., None, None]
    found = updated(mixture, model, 1e-5, by, block)
    assert torch.allclose(found, wanted, rtol=1e-9)
    if by == "images":
        trace = found.diagonal(dim1=-2, dim2=-1).sum(-1).real
        assert torch.allclose(trace, torch.full_like(trace, channels))


def test_networks_hear_the_trace_of_section_3_2(channels):
    model, mixture = model_of(channels), mixture_of(channels)
    after, delta = covariances(channels, seed=8), 0.125
    c = images(mixture, model, 1e-5)
    inverse = torch.linalg.inv(after + delta * torch.eye(channels))
    wanted = torch.einsum("jfik,jkfn,jifn->jfn", inverse, c, c.conj()).real
    found = together(heard(mixture, model, after, (1e-5, delta), block=9))
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_powers_are_those_of_the_images(channels):
    model, mixture = model_of(channels), mixture_of(channels)
    found = together(powers(mixture, model, 1e-5, block=9))
    assert torch.allclose(found, mean_power(images(mixture, model, 1e-5)), rtol=1e-9)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("iterations", [1, 3])
def test_norbert_iterates_the_same_where_no_network_is_asked(channels, iterations):
    mixture, eps = mixture_of(channels), 1e-12
    model, delta = SpatialModel.isotropic(psds(), channels), eps**0.5
    # Axes of norbert: frames, bins, channels, sources.
    start = images(mixture, model, delta).permute(3, 2, 1, 0).numpy().copy()
    theirs, _, _ = norbert.expectation_maximization(
        start, mixture.permute(2, 1, 0).numpy().copy(), iterations, eps=eps
    )
    for _ in range(iterations):
        after = updated(mixture, model, delta)
        model = SpatialModel(together(powers(mixture, model, delta)), after)
    ours = images(mixture, model, delta).permute(3, 2, 1, 0).numpy()
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_model_of_images_gives_them_back_where_nothing_overlaps():
    """Sources that share no bin, or stand at different places one at a time, are found exactly."""
    true = torch.zeros(2, 2, BINS, FRAMES, dtype=torch.complex128)
    true[0, :, :3] = mixture_of(2)[:, :3]
    true[1, :, 3:] = mixture_of(2, seed=4)[:, 3:]
    found = images(true.sum(0), SpatialModel.of(true), 1e-20)
    assert torch.allclose(found, true, atol=1e-6)


def test_the_oracle_filter_is_ahead_of_the_oracle_mask():
    stft = STFT(8000, 256, 128, "hamming")
    rng = np.random.default_rng(0)
    gains = {"left": (1.0, 0.1), "middle": (0.7, 0.7), "right": (0.2, 1.0)}
    references = {
        name: (np.array(gain)[:, None] * rng.standard_normal(16000)).astype(np.float32)
        for name, gain in gains.items()
    }
    mixture = sum(references.values())
    off = {}
    for mask in ("irm", "mwf"):
        found = OracleSeparator(mask, stft).separate(mixture, references)
        assert list(found) == list(references)
        off[mask] = sum(float(np.square(found[name] - references[name]).sum()) for name in found)
    assert off["mwf"] < 0.8 * off["irm"]


# The smallest coefficient that leaves matrices invertible.


def test_the_smallest_regularisation_is_found_that_inverts_every_bin():
    v = psds()
    loud = 1e6
    one = torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=torch.complex128)
    rank_one = one.expand(SOURCES, BINS, 2, 2) * loud
    model, mixture = SpatialModel(v, rank_one), mixture_of(2)
    among = [10.0**power for power in range(-10, -4)]
    found = smallest(mixture, model, among, block=7)
    highest = 2 * loud * float(v.sum(0).max())
    assert found == min(each for each in among if each > EPSILON * highest)
    assert among[0] < found < among[-1]
    assert smallest(mixture, model_of(2), among) == 1e-10
    with pytest.raises(SpecError, match=r"no regularisation among 1e-10 makes every"):
        smallest(mixture, model, [1e-10])


# What recordings bring along.


def iterated(mixture, v, by="images", times=3):
    model = SpatialModel.isotropic(v, len(mixture))
    for _ in range(times):
        after = updated(mixture, model, 1e-20, by)
        z = together(heard(mixture, model, after, (1e-20, 1e-10)))
        model = SpatialModel(z if by == "images" else v, after)
    return images(mixture, model, 1e-20), z


@pytest.mark.parametrize("by", ["images", "psds"])
@pytest.mark.parametrize("case", ["silent channel", "identical channels", "silence", "dead source"])
def test_nothing_that_can_happen_to_a_recording_ends_in_nan(by, case):
    mixture, v = mixture_of(2), psds()
    if case == "silent channel":
        mixture[1] = 0
    elif case == "identical channels":
        mixture[1] = mixture[0]
    elif case == "silence":
        mixture[:, :, 10:20] = 0
        v[:, :, 10:20] = 0
    else:
        v[1] = 0
    found, z = iterated(mixture, v, by)
    assert torch.isfinite(torch.view_as_real(found)).all()
    assert torch.isfinite(z).all()
    assert (z >= 0).all()
    assert float((found.sum(0) - mixture).abs().max()) < 1e-5
    if case == "dead source":
        assert not found[1].any()


def test_identical_channels_are_filtered_as_one():
    mixture, v = mixture_of(2), psds()
    mixture[1] = mixture[0]
    model = SpatialModel.isotropic(v, 2)
    after = updated(mixture, model, 1e-20, "psds")
    assert float(torch.linalg.eigvalsh(after)[..., 0].abs().max()) < 1e-12, "of rank 1"
    found = images(mixture, SpatialModel(v, after), 1e-20)
    one = v * after[..., 0, 0].real[..., None]
    assert torch.allclose(found, (one / one.sum(0))[:, None] * mixture, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x * 0, "the mixture is silent"),
        (lambda x: x * float("nan"), "the mixture is not finite"),
        (lambda x: x[0], r"a mixture's spectrum of shape \(5, 40\)"),
        (lambda x: x.real, r"shape \(2, 5, 40\), torch.float64"),
        (lambda x: x[:, :, :0], r"shape \(2, 5, 0\)"),
    ],
)
def test_what_is_no_mixture_is_one_clear_error(change, said):
    with pytest.raises(AudioError, match=said):
        images(change(mixture_of(2)), model_of(2), 1e-5)


def test_settings_that_make_no_sense_are_one_clear_error():
    with pytest.raises(SpecError, match="covariances by 'sums'"):
        updated(mixture_of(2), model_of(2), 1e-5, by="sums")
    with pytest.raises(SpecError, match="a regularisation of -1"):
        images(mixture_of(2), model_of(2), -1.0)
    with pytest.raises(SpecError, match="a PSD below zero"):
        SpatialModel(-psds(), covariances(2))
    with pytest.raises(SpecError, match="PSDs of 2 sources"):
        SpatialModel(psds(sources=2), covariances(2))
