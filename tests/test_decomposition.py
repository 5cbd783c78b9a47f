"""Energies from correlations against the parts themselves, computed in time."""

import numpy as np
import pytest
import torch

from unmix.metrics.bsseval import bss_eval
from unmix.metrics.decomposition import parts_of


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def energy(sound):
    return sound.square().sum((-2, -1))


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def case(request):
    references = noise(3, request.param, 1500)
    spread = torch.tensor([[1.0, 0.3, 0.1], [0.2, 0.7, 0.0], [0.5, 0.5, 1.0]]).double()
    estimates = torch.einsum("jk,kcn->jcn", spread, references) + 0.2 * references.roll(3, -1)
    return references, estimates + 0.1 * noise(*references.shape, seed=1)


@pytest.mark.parametrize("taps", [1, 32])
def test_parts_sum_to_the_estimate_and_are_orthogonal(case, taps):
    references, estimates = case
    parts = parts_of(references, estimates, taps)
    whole = parts.target + parts.interference + parts.artefacts
    assert torch.allclose(whole[..., :1500], estimates, atol=1e-9)
    assert torch.allclose(whole[..., 1500:], torch.zeros(taps - 1).double(), atol=1e-9)
    size = energy(estimates)
    for one, other in (
        (parts.target, parts.interference),
        (parts.target, parts.artefacts),
        (parts.interference, parts.artefacts),
    ):
        assert ((one * other).sum((-2, -1)).abs() < 1e-9 * size).all()


@pytest.mark.parametrize("taps", [1, 32])
def test_scores_are_the_ratios_of_the_parts_energies(case, taps):
    references, estimates = case
    parts = parts_of(references, estimates, taps)
    rest = parts.interference + parts.artefacts
    wanted = {
        "SDR": (references, parts.spatial + rest),
        "ISR": (references, parts.spatial),
        "SIR": (parts.target, parts.interference),
        "SAR": (parts.target + parts.interference, parts.artefacts),
    }
    images = bss_eval(references, estimates[None], "images-v3", taps=taps).named()
    for name, (over, under) in wanted.items():
        ratio = 10 * torch.log10(energy(over) / energy(under))
        assert torch.allclose(images[name][0, :, 0], ratio, atol=1e-8), name
    sources = bss_eval(references, estimates[None], "sdr-v3", taps=taps).sdr[0, :, 0]
    assert torch.allclose(sources, 10 * torch.log10(energy(parts.target) / energy(rest)), atol=1e-8)


def test_scores_of_version_4_are_those_of_frames_under_the_filters_of_the_whole(case):
    """The definition in time: references cut to a frame, then filtered."""
    references, estimates = case
    taps, window = 16, 500
    wide = torch.nn.functional.pad(references, (0, taps - 1))
    flat = torch.stack([wide.roll(k, -1) for k in range(taps)])  # (T, J, C, n)
    found = bss_eval(references, estimates[None], "v4", taps=taps, window=window).named()
    for j in range(len(references)):
        target = torch.nn.functional.pad(estimates[j], (0, taps - 1)).T
        every = torch.linalg.lstsq(flat.flatten(0, 2).T, target).solution
        own = torch.linalg.lstsq(flat[:, j].flatten(0, 1).T, target).solution
        for frame in range(3):
            cut = references[..., frame * window : (frame + 1) * window]
            padded = torch.nn.functional.pad(cut, (0, taps - 1))
            rolled = torch.stack([padded.roll(k, -1) for k in range(taps)])
            with_all = (rolled.flatten(0, 2).T @ every).T
            with_own = (rolled[:, j].flatten(0, 1).T @ own).T
            estimate = torch.nn.functional.pad(
                estimates[j, :, frame * window : (frame + 1) * window], (0, taps - 1)
            )
            true = padded[j]
            for name, over, under in (
                ("SDR", true, estimate - true),
                ("ISR", true, with_own - true),
                ("SIR", with_own, with_all - with_own),
                ("SAR", with_all, estimate - with_all),
            ):
                wanted = 10 * torch.log10(energy(over) / energy(under))
                assert found[name][0, j, frame].item() == pytest.approx(wanted.item(), abs=1e-7)
