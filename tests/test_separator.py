"""A network with its mask around it, from mixture to estimates."""

import numpy as np
import pytest
import torch
from torch import nn

from unmix.audio import mix, rms
from unmix.errors import AudioError, SpecError
from unmix.models.recurrent import RecurrentNetwork
from unmix.models.separator import KINDS, NetworkSeparator, describe, settings_class
from unmix.stft import STFT

BOTH = ("voice", "accompaniment")


def noise(samples=6000, seed=0):
    return np.random.default_rng(seed).standard_normal((1, samples)).astype(np.float32)


def random_network(stft, outputs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RecurrentNetwork(units=16).build(stft.bins, outputs)


class Constant(nn.Module):
    """Puts out the same multiples of the mixture in every bin."""

    def __init__(self, *shares):
        super().__init__()
        self.shares = nn.Parameter(torch.tensor(shares))

    def forward(self, mixture):
        return torch.cat([share * mixture for share in self.shares], dim=-1)


@pytest.mark.parametrize("mask", ["soft", "binary"])
@pytest.mark.parametrize("target", ["both", "voice", "accompaniment"])
def test_estimates_add_up_and_follow_the_mixtures_level(small_stft, target, mask):
    network = random_network(small_stft, 2 if target == "both" else 1)
    separator, mixture = NetworkSeparator(network, small_stft, target, mask), noise()
    found = separator.separate(mixture)
    assert tuple(found) == BOTH
    assert np.allclose(found["voice"] + found["accompaniment"], mixture, atol=1e-5)
    assert min(rms(found[name]) for name in BOTH) > 0.01, "the network does not take all"
    louder = separator.separate(1000 * mixture)
    for name in BOTH:
        assert found[name].shape == mixture.shape
        assert np.allclose(louder[name], 1000 * found[name], atol=1e-5 * 1000)


@pytest.mark.parametrize(
    ("shares", "target", "mask", "wanted"),
    [
        ((0.6, 0.2), "both", "soft", 0.75),
        ((-0.6, 0.2), "both", "soft", 0.75),
        ((0.6, 0.2), "both", "binary", 1.0),
        ((0.3,), "voice", "soft", 0.3),
        ((0.3,), "accompaniment", "soft", 0.7),
        ((0.3,), "voice", "binary", 0.0),
        ((0.3,), "accompaniment", "binary", 1.0),
        ((2.0,), "voice", "soft", 1.0),
    ],
)
def test_the_mask_is_what_the_outputs_say(shares, target, mask, wanted):
    separator, mixture = NetworkSeparator(Constant(*shares), STFT(), target, mask), noise()
    voice = separator.separate(mixture)["voice"]
    assert np.allclose(voice, wanted * mixture, atol=1e-5)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 5.0])
def test_the_network_hears_mixtures_at_the_level_of_its_training(small_stft, snr):
    heard = []

    class Listening(Constant):
        def forward(self, mixture):
            heard.append(float(mixture.square().sum()))
            return super().forward(mixture)

    mixture = mix(noise(), noise(seed=1), snr)[0]
    separator = NetworkSeparator(Listening(1.0, 1.0), small_stft, snr_db=snr)
    separator.separate(7.0 * mixture)
    trained_at = float(small_stft.forward(torch.from_numpy(mixture)).abs().square().sum())
    # Two sources that are not quite orthogonal leave a few per cent.
    assert heard[0] == pytest.approx(trained_at, rel=0.05)


def test_silence_cannot_be_separated(small_stft):
    separator = NetworkSeparator(Constant(1.0, 1.0), small_stft)
    with pytest.raises(AudioError, match="the mixture is silent"):
        separator.separate(np.zeros((1, 500), np.float32))


def test_unknown_masks_and_kinds_are_refused(small_stft):
    with pytest.raises(SpecError, match=r"unknown mask 'wiener'.*Expected: soft, binary"):
        NetworkSeparator(Constant(1.0, 1.0), small_stft, mask="wiener")
    with pytest.raises(SpecError, match=r"unknown separator 'mixtur' \(did you mean 'mixture'"):
        settings_class("mixtur")
    with pytest.raises(SpecError, match="is no registered separator"):
        describe(object())


def test_every_kind_is_found_under_its_name():
    for kind in KINDS:
        assert describe(settings_class(kind)()) == kind
