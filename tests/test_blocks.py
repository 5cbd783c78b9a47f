"""Separators that go through a sound block by block: what holds for each of them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from aids import noise, seeded
from unmix.audio import rms
from unmix.errors import AudioError
from unmix.models.blocks import check_mono, tiles
from unmix.models.hourglass import HourglassSeparator, StackedHourglass
from unmix.models.waveunet import WaveUNet, WaveUNetSeparator
from unmix.plain import from_plain, to_plain
from unmix.stft import STFT

SHORT = STFT(8000, 32, 8)
FLAT = StackedHourglass(1, 1, 6, (4, 5), bins=16, frames=48, margin=16)


@dataclass(frozen=True)
class Kind:
    """A separator with a small network.

    `block` is the most samples that it gives out at once, `heard` the shape of what its network
    takes, `others` are settings that differ from all defaults.
    """

    separator: Any
    small: Any
    block: int
    heard: tuple[int, ...]
    others: tuple[Any, ...]

    def make(self, network, names=("voice", "accompaniment"), settings=None, **more):
        transform = (SHORT,) if self.separator is HourglassSeparator else ()
        return self.separator(network, settings or self.small, *transform, names, **more)


UNET = WaveUNet(levels=3, filters=4, down=5, up=3, samples=64)
GLASS = StackedHourglass(2, 2, 6, (4, 5), bins=16, frames=16, margin=4)
DIFFERENCE = dataclasses.replace(UNET, output="difference", margin=3)
KINDS = {
    "waveunet": Kind(WaveUNetSeparator, UNET, 64, (1, 64), (WaveUNet(), DIFFERENCE)),
    "hourglass": Kind(
        HourglassSeparator, GLASS, 16 * SHORT.hop, (1, 16, 16), (StackedHourglass(), GLASS)
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


# Blocks.


def test_tiles_follow_the_authors():
    assert list(tiles(150, 64, 0)) == [(0, 0, 64), (64, 64, 128), (86, 128, 150)]
    assert list(tiles(128, 64, 0)) == [(0, 0, 64), (64, 64, 128)]
    # Their windows of 64 frames with hop 32: the centre 32, the first whole up to there.
    assert list(tiles(140, 64, 16)) == [(0, 0, 48), (32, 48, 80), (64, 80, 112), (76, 112, 140)]
    assert list(tiles(10, 64, 16)) == [(0, 0, 10)]


@pytest.mark.parametrize("margin", [0, 1, 5, 7])
def test_tiles_answer_for_everything_once(margin):
    for length in range(1, 70):
        end = 0
        for start, first, last in tiles(length, 16, margin):
            assert first == end < last
            assert 0 <= start <= first
            assert last <= start + 16 or length < 16
            assert first - start >= margin or start == 0
            assert start + 16 - last >= margin or last == length
            end = last
        assert end == length


@pytest.mark.parametrize(
    ("name", "small", "size", "whole", "blocks", "length"),
    [
        *(("waveunet", UNET, "samples", n, 128, n) for n in (128, 136, 400)),
        *(("hourglass", FLAT, "frames", n, 48, (n - 1) * SHORT.hop + 3) for n in (48, 70, 128)),
    ],
)
def test_blocks_are_one_piece_where_the_reach_allows(name, small, size, whole, blocks, length):
    network, mixture, margins = seeded(small), noise(length), {"waveunet": 48, "hourglass": 16}
    assert UNET.reach <= margins["waveunet"]
    settings = ((whole, 0), (blocks, margins[name]), (64 if name == "waveunet" else 16, 0))
    wanted, found, cut = (
        KINDS[name]
        .make(network, settings=dataclasses.replace(small, **{size: long, "margin": margin}))
        .separate(mixture)
        for long, margin in settings
    )
    assert rms(wanted["voice"]) > 1e-3
    for source, estimate in wanted.items():
        assert np.allclose(found[source], estimate, atol=1e-5 * np.abs(estimate).max())
    # Without a margin it would not be.
    assert np.abs(cut["voice"] - wanted["voice"]).max() > 1e-3 * np.abs(wanted["voice"]).max()


def test_pieces_come_in_order_and_none_is_longer_than_a_block(kind):
    separator, mixture, end = kind.make(seeded(kind.small)), noise(8 * kind.block - 12), 0
    for first, piece in separator.stream(mixture):
        assert first == end
        assert 0 < piece.shape[1] <= kind.block
        end += piece.shape[1]
    assert end == mixture.shape[1]


# Estimates.


def test_every_source_gets_its_name_and_every_length_its_shape(kind):
    names, block = ("guitar", "drums", "rest"), kind.block
    separator = kind.make(seeded(kind.small, 3), names)
    for length in (1, 7, 8, block - 1, block, block + 1, 2 * block, 3 * block):
        found = separator.separate(noise(length))
        assert tuple(found) == names
        for estimate in found.values():
            assert estimate.shape == (1, length)
            assert np.isfinite(estimate).all()


def test_estimates_follow_the_mixtures_level(kind):
    separator, mixture = kind.make(seeded(kind.small)), noise(3 * kind.block + 8)
    quiet, loud = separator.separate(mixture), separator.separate(1000 * mixture)
    for name, estimate in quiet.items():
        assert rms(estimate) > 1e-4
        assert np.allclose(loud[name] / 1000, estimate, atol=1e-4 * np.abs(estimate).max())


def test_a_seed_decides_the_weights_and_they_the_estimates_to_the_bit(kind):
    mixture = noise(5 * kind.block - 20)
    first, again, other = (kind.make(seeded(kind.small, seed=seed)) for seed in (0, 0, 1))
    assert first.tensors().keys() == again.tensors().keys()
    one, two, three = (separator.separate(mixture)["voice"] for separator in (first, again, other))
    assert np.array_equal(one, two)
    assert not np.allclose(one, three, atol=1e-3)
    together = kind.make(seeded(kind.small), at_once=4).separate(mixture)["voice"]
    assert np.allclose(one, together, atol=1e-6 * np.abs(one).max())


def test_networks_put_out_float32_under_autocast(kind):
    for settings in (kind.small, kind.others[-1]):
        with torch.autocast("cpu", torch.bfloat16):
            assert seeded(settings)(torch.rand(kind.heard)).dtype == torch.float32


# What cannot be, and settings.


@pytest.mark.parametrize("shape", [(100,), (2, 100), (1, 0), (1, 1, 100)])
def test_mixtures_of_other_shapes_are_refused(kind, shape):
    message = r"a mixture of shape \(.*Expected: shape \(1, samples\).*each channel by itself"
    with pytest.raises(AudioError, match=message):
        check_mono(np.ones(shape, np.float32))
    with pytest.raises(AudioError, match=message):
        kind.make(seeded(kind.small)).separate(np.ones(shape, np.float32))


@pytest.mark.parametrize("place", [7, 15000])
def test_silence_and_nan_cannot_be_separated(kind, place):
    separator = kind.make(seeded(kind.small))
    with pytest.raises(AudioError, match=r"the mixture is silent.*sound to separate"):
        separator.separate(np.zeros((1, 500), np.float32))
    broken = noise(20000)
    broken[0, place] = np.nan
    with pytest.raises(AudioError, match="the mixture is not finite"):
        separator.separate(broken)


def test_settings_are_plain_data(kind):
    for settings in (kind.small, *kind.others):
        assert from_plain(type(settings), to_plain(settings), "separator") == settings
