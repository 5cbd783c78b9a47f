"""Wave-U-Net: the published size, what it hears, that it can learn. See also test_blocks.py."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from aids import biased, count, noise, seeded
from unmix.audio import rms
from unmix.errors import SpecError
from unmix.models.waveunet import (
    WaveUNet,
    WaveUNetSeparator,
    doubled,
    waveform_loss,
)

SMALL = WaveUNet(levels=3, filters=4, down=5, up=3, samples=64)
EVERY = range(1, 3 * SMALL.samples + 1)
"""Lengths from one sample to three blocks."""


class Echo(nn.Module):
    """Puts out what it hears for each of two sources, with silence for `spoilt` samples at ends."""

    def __init__(self, spoilt=0):
        super().__init__()
        self.gain, self.spoilt = nn.Parameter(torch.ones(1)), spoilt

    def forward(self, mixture):
        answer = torch.stack([mixture, mixture], dim=1) * self.gain
        answer[..., : self.spoilt] = 0
        answer[..., answer.shape[-1] - self.spoilt :] = 0
        return answer


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "outputs", "millions"),
    [
        (WaveUNet(), 2, "10.26"),
        (WaveUNet(output="difference"), 2, "10.26"),
        (WaveUNet(output="difference"), 4, "10.26"),
        (WaveUNet(filters=34), 2, "20.59"),  # M7, published as 20.6
    ],
)
def test_the_number_of_weights_is_the_published_one(settings, outputs, millions):
    assert f"{count(settings.build(outputs)) / 1e6:.2f}" == millions


@pytest.mark.parametrize("outputs", [2, 3])
def test_the_number_of_weights_adds_up(outputs):
    # By hand: down 1-4-8-12, bottleneck 16, up with what was passed on, a head on 4 + 1.
    down = (1 * 4 + 4 * 8 + 8 * 12 + 12 * 16) * 5 + (4 + 8 + 12 + 16)
    up = ((16 + 12) * 12 + (12 + 8) * 8 + (8 + 4) * 4) * 3 + (12 + 8 + 4)
    assert count(SMALL.build(outputs)) == down + up + outputs * (4 + 1 + 1)


@pytest.mark.parametrize("output", ["direct", "difference"])
@pytest.mark.parametrize("outputs", [2, 3])
@pytest.mark.parametrize("samples", [8, 64, 200])
def test_shapes_of_the_network(output, outputs, samples):
    network = dataclasses.replace(SMALL, output=output).build(outputs)
    assert network(torch.zeros(3, samples)).shape == (3, outputs, samples)


def test_outputs_are_bounded_and_the_differences_add_up_to_the_mixture():
    loud = torch.from_numpy(1000 * noise(64))
    with torch.no_grad():
        assert float(seeded(SMALL)(loud).abs().max()) == 1.0
        apart = seeded(dataclasses.replace(SMALL, output="difference"), 3)(loud)
    assert torch.allclose(apart.sum(dim=1), loud, rtol=1e-5)
    assert float(apart[:, :2].abs().max()) == 1.0


def by_hand(network, sound):
    """The network on `(samples,)` in NumPy, from its weights and from what the paper says."""
    weights = {name: value.numpy() for name, value in network.state_dict().items()}

    def convolved(name, x):
        kernels, half = weights[f"{name}.weight"], weights[f"{name}.weight"].shape[2] // 2
        padded = np.pad(x, ((0, 0), (half, half)))
        seen = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=1)
        return np.einsum("oik,isk->os", kernels, seen) + weights[f"{name}.bias"][:, None]

    def layer(name, x):
        x = convolved(name, x)
        return np.where(x > 0, x, 0.2 * x)

    x, passed = sound[None], []
    for level in range(len(network.down)):
        passed.append(layer(f"down.{level}", x))
        x = passed[-1][:, ::2]
    x = layer("bottleneck", x)
    for level, skip in enumerate(reversed(passed)):
        places = np.arange(skip.shape[1]) / 2
        x = np.stack([np.interp(places, np.arange(x.shape[1]), row) for row in x])
        x = layer(f"up.{level}", np.concatenate([skip, x]))
    return np.tanh(convolved("head", np.concatenate([sound[None], x])))


def test_the_network_is_what_the_paper_says():
    network, sound = biased(seeded(SMALL)), noise(64)[0]
    with torch.no_grad():
        found = network(torch.from_numpy(sound)[None])[0].numpy()
    assert 0.1 < found.std() < 0.95
    assert np.allclose(found, by_hand(network, sound), atol=1e-5)


def test_doubling_interpolates_between_samples_that_keep_their_places():
    x = torch.from_numpy(noise(9)).reshape(1, 1, 9)
    twice = doubled(x)[0, 0].numpy()
    wanted = np.interp(np.arange(18) / 2, np.arange(9), x[0, 0].numpy())
    assert np.allclose(twice, wanted, atol=1e-6)
    assert torch.equal(doubled(x)[..., ::2], x), "decimation undoes it"


@pytest.mark.parametrize(
    "settings", [SMALL, WaveUNet(levels=1, filters=2, down=3, up=1, samples=8)]
)
def test_nothing_is_felt_beyond_the_reach_and_something_near_it(settings):
    network, step = seeded(settings), 2**settings.levels
    at = -(-settings.reach // step) * step + step
    sound = torch.zeros(1, 2 * at)
    felt = 0
    with torch.no_grad():
        silent = network(sound)
        for place in range(at, at + step):
            touched = sound.clone()
            touched[0, place] = 100.0
            changed = (network(touched) - silent).abs().amax(dim=1)[0].numpy()
            felt = max(felt, int(np.abs(np.flatnonzero(changed > 0) - place).max()))
    assert 0.6 * settings.reach < felt <= settings.reach


def test_the_published_network_reaches_beyond_its_block():
    assert WaveUNet().reach == 69622 > WaveUNet().samples


def test_initial_weights_are_uniform_after_glorot_and_biases_zero():
    network = seeded(WaveUNet(levels=2, filters=24, samples=16))
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d):
            bound = (6 / (layer.kernel_size[0] * (layer.in_channels + layer.out_channels))) ** 0.5
            weight = layer.weight.detach()
            assert float(weight.abs().max()) <= bound
            assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.25)
            assert not layer.bias.any()


def test_the_loss_is_the_squared_error_averaged_over_sources():
    estimates = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    references = torch.tensor([[[0.0, 0.0], [0.0, 3.0]]])
    assert float(waveform_loss(estimates, references)) == ((1 + 4) / 2 + 9 / 2) / 2


@pytest.mark.parametrize("output", ["direct", "difference"])
def test_a_network_can_learn_to_tell_low_from_high(output):
    rng = np.random.default_rng(0)

    def examples(batch, samples=64):
        time = np.arange(samples)
        low, high = (
            np.sin(rng.uniform(*band, (batch, 1)) * time + rng.uniform(0, 6, (batch, 1)))
            for band in ((0.1, 0.3), (1.2, 2.4))
        )
        return 0.3 * torch.from_numpy(np.stack([low, high], axis=1)).float()

    network = seeded(dataclasses.replace(SMALL, filters=8, output=output))
    adam, held_out = torch.optim.Adam(network.parameters(), lr=5e-3), examples(64)
    for _ in range(150):
        sources = examples(16)
        adam.zero_grad()
        waveform_loss(network(sources.sum(dim=1)), sources).backward()
        adam.step()
    with torch.no_grad():
        left = float(waveform_loss(network(held_out.sum(dim=1)), held_out))
    # The mixture itself, given out for both, would leave all of the other source.
    assert left < 0.05 * float(held_out.square().mean())


# --- whole sounds --------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0, 10])
def test_a_network_that_repeats_gives_back_the_mixture_at_every_length(margin):
    separator = WaveUNetSeparator(Echo(), dataclasses.replace(SMALL, margin=margin))
    for length in EVERY:
        mixture = 3 * noise(length, seed=length)
        found = separator.separate(mixture)
        assert tuple(found) == ("voice", "accompaniment")
        for estimate in found.values():
            assert estimate.shape == mixture.shape
            assert estimate.dtype == np.float32
            assert np.allclose(estimate, mixture, atol=1e-5)


def test_what_a_block_says_near_its_ends_is_left_out_but_at_the_ends_of_the_sound():
    margin, mixture = 10, noise(300)
    separator = WaveUNetSeparator(Echo(spoilt=margin), dataclasses.replace(SMALL, margin=margin))
    voice = separator.separate(mixture)["voice"]
    assert np.allclose(voice[:, margin:-margin], mixture[:, margin:-margin], atol=1e-5)
    assert not voice[:, :margin].any()
    assert not voice[:, -margin:].any()


def test_the_network_hears_mixtures_at_the_level_of_its_training():
    heard = []

    class Listening(Echo):
        def forward(self, mixture):
            heard.append(mixture.clone())
            return super().forward(mixture)

    mixture = noise(192)
    WaveUNetSeparator(Listening(), SMALL, level=0.2).separate(7 * mixture)
    assert rms(torch.cat(heard).numpy()) == pytest.approx(0.2, rel=1e-5)


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"output": "masks"}, "unknown output 'masks'.*Expected: direct, difference"),
        ({"output": "differences"}, "did you mean 'difference'"),
        ({"levels": 0}, "a Wave-U-Net of 0 levels"),
        ({"levels": 17}, "Expected: 1 to 16 levels"),
        ({"filters": 0}, "of 0 filters"),
        ({"down": 14}, "14 samples long on the way down.*odd lengths"),
        ({"up": -1}, "-1 on the way up"),
        ({"samples": 16000}, "blocks of 16000 samples for 12 levels.*a multiple of 4096"),
        ({"samples": 0}, "blocks of 0 samples"),
        ({"margin": -1}, "a margin of -1 samples"),
        ({"margin": 8192}, "a margin of 8192 samples in blocks of 16384.*less than half"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        WaveUNet(**wrong)


def test_a_network_needs_sources():
    with pytest.raises(SpecError, match=r"direct output for 0 source.*at least one source"):
        SMALL.build(0)
    with pytest.raises(SpecError, match=r"difference output for 1 source.*two for the difference"):
        dataclasses.replace(SMALL, output="difference").build(1)
