"""Stacked hourglasses: the published size, what they see, and learning. See also test_blocks.py."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from aids import biased, count, noise, seeded
from unmix.errors import SpecError
from unmix.models.hourglass import (
    HourglassSeparator,
    StackedHourglass,
    _Hourglass,
    stacked_loss,
)
from unmix.stft import STFT

SMALL = StackedHourglass(2, 2, 6, (4, 5), bins=16, frames=16, margin=4)
SHORT = STFT(8000, 32, 8)
EVERY = range(1, 3 * SMALL.frames * SHORT.hop + 1)
"""Lengths from one sample to three patches."""


class Constant(nn.Module):
    """Puts out constant masks: for each hourglass one of each source."""

    def __init__(self, *shares):
        super().__init__()
        self.shares = nn.Parameter(torch.tensor(shares))

    def forward(self, mixture):
        return self.shares[None, :, :, None, None] * torch.ones_like(mixture)[:, None, None]


class Louder(Constant):
    """Masks what is loud less, each bin by itself, and remembers what it saw."""

    seen: list

    def forward(self, mixture):
        self.seen.append(mixture.clone())
        return super().forward(mixture) * (mixture / (mixture + 0.1))[:, None, None]


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [2, 4])
def test_the_number_of_weights_is_the_published_one(outputs):
    assert f"{count(StackedHourglass().build(outputs)) / 1e6:.2f}" == "34.18"


def test_with_masks_of_one_source_it_would_not_be():
    assert f"{count(StackedHourglass().build(1)) / 1e6:.2f}" == "34.17"


def test_the_number_of_weights_adds_up():
    # By hand: 7 x 7 and 3 x 3 before; seven convolutions in an hourglass of depth 2; after it
    # 3 x 3, 1 x 1 and the masks; between two hourglasses 1 x 1 from both.
    stem = (49 * 1 * 4 + 4) + (9 * 4 * 5 + 5) + (9 * 5 * 6 + 6)
    stack = (7 + 1) * (9 * 6 * 6 + 6) + (6 * 6 + 6) + (6 * 3 + 3)
    between = (6 * 6 + 6) + (3 * 6 + 6)
    assert count(SMALL.build(3)) == stem + 2 * stack + between


@pytest.mark.parametrize(("batch", "frames", "bins"), [(1, 16, 16), (3, 4, 8), (2, 20, 12)])
def test_shapes_of_the_network(batch, frames, bins):
    masks = SMALL.build(3)(torch.rand(batch, frames, bins))
    assert masks.shape == (batch, 2, 3, frames, bins)


def by_hand(network, picture):
    """The network on `(frames, bins)` in NumPy, from its weights and from the authors' figure."""
    weights = {name: value.numpy() for name, value in network.state_dict().items()}

    def convolved(name, x):
        kernels, half = weights[f"{name}.weight"], weights[f"{name}.weight"].shape[2] // 2
        padded = np.pad(x, ((0, 0), (half, half), (half, half)))
        seen = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[2:], axis=(1, 2))
        return np.einsum("oikl,ifbkl->ofb", kernels, seen) + weights[f"{name}.bias"][:, None, None]

    def layer(name, x):
        return np.maximum(convolved(name, x), 0)

    def hourglass(name, x, depth):
        if depth == 0:
            return layer(f"{name}.0", x)
        frames, bins = np.array(x.shape[1:]) // 2
        low = x.reshape(len(x), frames, 2, bins, 2).max(axis=(2, 4))
        low = hourglass(f"{name}.inner", layer(f"{name}.before", low), depth - 1)
        low = layer(f"{name}.after", low).repeat(2, axis=1).repeat(2, axis=2)
        return layer(f"{name}.skip", x) + low

    x, masks = picture[None], []
    for number in range(len(network.stem)):
        x = layer(f"stem.{number}", x)
    for number in range(network.settings.stacks):
        name = f"stacks.{number}"
        inner = hourglass(f"{name}.hourglass", x, network.settings.depth)
        inner = layer(f"{name}.body.1", layer(f"{name}.body.0", inner))
        masks.append(convolved(f"{name}.head", inner))
        if number < network.settings.stacks - 1:
            x = x + convolved(f"{name}.from_body", inner)
            x = x + convolved(f"{name}.from_masks", masks[-1])
    return np.stack(masks)


@pytest.mark.parametrize("stacks", [1, 3])
def test_the_network_is_what_the_authors_draw(stacks):
    network = biased(seeded(dataclasses.replace(SMALL, stacks=stacks)))
    picture = np.abs(noise(16 * 16)).reshape(16, 16)
    with torch.no_grad():
        found = network(torch.from_numpy(picture)[None])[0].numpy()
    wanted = by_hand(network, picture)
    assert wanted.std(axis=(-2, -1)).min() > 0.02, "the picture matters to all masks"
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_hourglass_adds_up_what_it_sees_at_all_sizes(depth):
    hourglass, x = _Hourglass(depth, 2), torch.rand(1, 2, 16, 8)
    for layer in hourglass.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)  # each convolution repeats its input
    pictures = x[0].numpy()
    wanted = pictures.copy()
    for level in range(1, depth + 1):
        n = 2**level
        largest = pictures.reshape(2, 16 // n, n, 8 // n, n).max(axis=(2, 4))
        wanted += largest.repeat(n, axis=1).repeat(n, axis=2)
    with torch.no_grad():
        assert np.allclose(hourglass(x)[0].numpy(), wanted, atol=1e-6)


def test_later_hourglasses_hear_of_earlier_masks_and_not_the_other_way_round():
    network, x = seeded(SMALL), torch.rand(1, 16, 16)
    with torch.no_grad():
        before = network(x)
        network.stacks[0].head.bias += 1.0
        after = network(x)
        network.stacks[1].head.bias += 1.0
        last = network(x)
    assert torch.allclose(after[:, 0], before[:, 0] + 1.0, atol=1e-6)
    assert float((after[:, 1] - before[:, 1]).abs().max()) > 1e-3
    assert torch.equal(last[:, 0], after[:, 0])
    assert torch.allclose(last[:, 1], after[:, 1] + 1.0, atol=1e-6)


def test_initial_weights_are_normal_by_the_number_of_inputs_and_biases_zero():
    for layer in seeded(StackedHourglass(1, 1, 64, (64,), 16, 16, 0)).modules():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels * layer.kernel_size[0] ** 2
            assert float(layer.weight.detach().std()) == pytest.approx(inputs**-0.5, rel=0.15)
            assert not layer.bias.any()


def test_the_loss_is_the_sum_over_hourglasses_of_mean_distances():
    mixture = torch.tensor([[[2.0, 4.0]]])
    references = torch.tensor([[[[2.0, 1.0]], [[0.0, 3.0]]]])
    masks = torch.tensor([[[[[1.0, 0.25]], [[0.0, 0.75]]], [[[0.5, 0.25]], [[1.0, -0.25]]]]])
    # The first hourglass is right; the second is wrong by 1, 0, 2 and 4.
    assert float(stacked_loss(masks, mixture, references)) == 7 / 4
    assert float(stacked_loss(masks[:, :1], mixture, references)) == 0.0


def test_a_network_can_learn_masks_and_they_add_up_to_one():
    rng = np.random.default_rng(0)

    def examples(batch):
        """Steady lines in some bins, and bursts over all others in some frames."""
        lines, bursts = np.zeros((2, batch, 16, 16), np.float32)
        for row in range(batch):
            lines[row][:, rng.choice(16, 3, replace=False)] = 1.0
            bursts[row][rng.choice(16, 3, replace=False)] = 1.0
        return torch.from_numpy(np.stack([lines, bursts], axis=1)) * 0.5

    network = seeded(dataclasses.replace(SMALL, features=12, stem=(8,)))
    adam, held_out = torch.optim.Adam(network.parameters(), lr=3e-3), examples(32)
    for _ in range(150):
        sources = examples(8)
        mixture = sources.sum(dim=1)
        adam.zero_grad()
        stacked_loss(network(mixture), mixture, sources).backward()
        adam.step()
    mixture = held_out.sum(dim=1)
    with torch.no_grad():
        masks = network(mixture)
        left = float(stacked_loss(masks[:, -1:], mixture, held_out))
    halves = torch.full_like(masks[:, -1:], 0.5)
    assert left < 0.25 * float(stacked_loss(halves, mixture, held_out))
    total = masks[:, -1].sum(dim=1)[mixture > 0]
    assert float(total.median()) == pytest.approx(1.0, abs=0.05)


# --- whole sounds --------------------------------------------------------------------------------


def test_masks_of_one_give_back_the_mixture_at_every_length():
    separator = HourglassSeparator(Constant((1.0, 1.0)), SMALL, SHORT)
    for length in EVERY:
        mixture = 0.3 * noise(length, seed=length)
        found = separator.separate(mixture)
        assert tuple(found) == ("voice", "accompaniment")
        for estimate in found.values():
            assert estimate.shape == mixture.shape
            assert estimate.dtype == np.float32
            assert np.allclose(estimate, mixture, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 44100])
def test_at_the_published_sizes_too_up_to_the_nyquist_frequency(rate):
    # Every other sample negative: all of it is in the row that the network does not see.
    mixture = 0.05 * noise(60000) + 0.1 * (-1.0) ** np.arange(60000, dtype=np.float32)
    separator = HourglassSeparator(
        Constant((1.0, 0.5)), StackedHourglass(), STFT(rate, 1024, 256), ("drums", "rest")
    )
    found = separator.separate(mixture)
    assert np.allclose(found["drums"], mixture, atol=1e-6)
    assert np.allclose(found["rest"], 0.5 * mixture, atol=1e-6)


@pytest.mark.parametrize("stft", [SHORT, STFT(8000, 32, 16), STFT(8000, 32, 5), STFT(8000, 32, 20)])
@pytest.mark.parametrize(("margin", "at_once"), [(4, 1), (0, 3)])
def test_patches_are_the_transform_of_the_whole(stft, margin, at_once):
    network = Louder((0.9, 0.3))
    network.seen = []
    settings = dataclasses.replace(SMALL, margin=margin)
    separator = HourglassSeparator(network, settings, stft, at_once=at_once)
    for length in (1, 31, 200, 1000, 1001):
        mixture = noise(length)
        network.seen.clear()
        found = separator.separate(mixture)
        whole = stft.forward(torch.from_numpy(mixture))
        magnitude = whole.abs() / whole.abs().max()
        mask = magnitude / (magnitude + 0.1)
        mask[:, -1] = mask[:, -2]
        for share, estimate in zip((0.9, 0.3), found.values(), strict=True):
            wanted = stft.inverse(share * mask * whole, length).numpy()
            assert np.allclose(estimate, wanted, atol=1e-5)
        assert all(patches.shape[1:] == (16, 16) for patches in network.seen)


def test_the_network_sees_the_mixture_by_its_largest_magnitude_over_the_whole():
    network = Louder((1.0, 1.0))
    network.seen = []
    mixture = noise(1500)
    mixture[:, 1000:] *= 10.0
    HourglassSeparator(network, SMALL, SHORT).separate(mixture)
    seen = torch.cat(network.seen)
    whole = SHORT.forward(torch.from_numpy(mixture)).abs()[0]
    assert float(seen[0].max()) < 0.3
    assert torch.allclose(seen[0], whole[:-1, :16].T / whole.max(), atol=1e-6)


def test_the_last_masks_count_and_negative_ones_are_clipped():
    mixture = noise(400)
    separator = HourglassSeparator(Constant((0.1, 0.2), (0.3, -0.4)), SMALL, SHORT)
    found = separator.separate(mixture)
    assert np.allclose(found["voice"], 0.3 * mixture, atol=1e-5)
    assert not found["accompaniment"].any()


def test_what_a_patch_says_near_its_ends_is_left_out_but_at_the_ends_of_the_sound():
    class Spoilt(Constant):
        def forward(self, mixture):
            masks = super().forward(mixture).clone()
            masks[..., :4, :] = masks[..., -4:, :] = 0.0
            return masks

    mixture = noise(1200)
    voice = HourglassSeparator(Spoilt((1.0, 1.0)), SMALL, SHORT).separate(mixture)["voice"]
    reach = 4 * SHORT.hop + SHORT.window // 2
    assert np.allclose(voice[:, reach:-reach], mixture[:, reach:-reach], atol=1e-5)
    for end in (voice[:, :8], voice[:, -8:]):
        assert not end.any()


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stacks": 0}, "0 hourglasses of depth 4"),
        ({"stacks": 17}, "Expected: 1 to 16 hourglasses"),
        ({"depth": 0}, "4 hourglasses of depth 0"),
        ({"depth": 11}, "of depth 1 to 10"),
        ({"features": 0}, "with 0 features"),
        ({"stem": ()}, r"after \(\).*one layer before them"),
        ({"stem": (64, 0)}, r"after \(64, 0\).*at least one feature in each layer"),
        ({"stem": (64, "128")}, r"after \(64, '128'\)"),
        ({"bins": 513}, "patches of 513 bins and 64 frames for depth 4.*multiples of 16"),
        ({"bins": 0}, "patches of 0 bins"),
        ({"frames": 60}, "and 60 frames"),
        ({"margin": -1}, "a margin of -1 frames"),
        ({"margin": 32}, "a margin of 32 frames in patches of 64.*less than half"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        StackedHourglass(**wrong)


def test_a_network_needs_sources():
    with pytest.raises(SpecError, match=r"masks for 0 sources.*at least one source"):
        SMALL.build(0)


@pytest.mark.parametrize("window", [512, 1025])
def test_a_transform_that_does_not_fit_the_patches_is_refused(window):
    message = rf"a window of {window} samples for patches of 512 bins.*Expected: 1024 samples"
    with pytest.raises(SpecError, match=message):
        HourglassSeparator(Constant((1.0, 1.0)), StackedHourglass(), STFT(8000, window, 256))
