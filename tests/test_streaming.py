"""Recurrent networks answer block by block what they answer to the whole sound."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch

from unmix import masks
from unmix.audio import rms
from unmix.errors import AudioError
from unmix.models.blocks import loudness, overlap_added, spectrum_of
from unmix.models.recurrent import CELLS, RecurrentNetwork
from unmix.models.separator import BLOCK, NetworkSeparator
from unmix.stft import STFT

SHORT = STFT(8000, 32, 8)
SHAPES = [
    SHORT,
    STFT(8000, 32, 8, "hamming"),  # which is not zero at its edge
    STFT(8000, 32, 16),
    STFT(8000, 32, 5),
    STFT(8000, 32, 20),
    STFT(8000, 30, 7),
]


def noise(samples, seed=0):
    rng = np.random.default_rng([samples, seed])
    return (0.1 * rng.standard_normal((1, samples))).astype(np.float32)


def random_network(stft, outputs=2, cell="gru", layers=2, **changes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = RecurrentNetwork(cell, layers, 24, **changes).build(stft.bins, outputs).eval()
        for name, values in network.named_parameters():
            # Fresh weights make a state that fades within a few frames and masks near one half.
            values.data *= 0.9 if "hh" in name and cell == "relu" else 2.0
        return network


@torch.no_grad()
def at_once(network, stft, mixture, level):
    """The soft-masked voice of a whole mixture, without blocks."""
    scaled = stft.forward(torch.from_numpy(mixture * np.float32(level / rms(mixture))))
    outputs = network(scaled.abs().transpose(1, 2)).transpose(1, 2).chunk(2, dim=1)
    spectrum = masks.soft(*outputs) * (scaled * (rms(mixture) / level))
    return stft.inverse(spectrum, mixture.shape[1]).numpy()


@pytest.mark.parametrize("context", [1, 2, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_blocks_say_what_the_whole_says(cell, context):
    network = random_network(SHORT, cell=cell, context=context, output="relu")
    for block in (1, 3, 40):
        separator = NetworkSeparator(network, SHORT, block=block)
        for length in (1, 7, 8, 31, 500, 1001):
            mixture = noise(length)
            found = separator.separate(mixture)
            wanted = at_once(network, SHORT, mixture, separator.level)
            scale = np.abs(mixture).max()
            assert np.allclose(found["voice"], wanted, rtol=0, atol=1e-5 * scale)
            assert np.allclose(found["accompaniment"], mixture - wanted, atol=1e-5 * scale)
            assert all(each.dtype == np.float32 for each in found.values())


@pytest.mark.parametrize("stft", SHAPES)
@pytest.mark.parametrize("block", [1, 2, 9])
def test_every_transform_and_length_comes_back(stft, block):
    network = random_network(stft)
    separator = NetworkSeparator(network, stft, block=block)
    for length in (1, 15, 16, 33, 159, 160, 161, 700):
        mixture = noise(length)
        wanted = at_once(network, stft, mixture, separator.level)
        found = separator.separate(mixture)["voice"]
        assert np.allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(mixture).max())


def test_the_state_is_what_makes_blocks_agree():
    network, magnitudes = random_network(SHORT, layers=1), torch.rand(1, 60, SHORT.bins)
    with torch.no_grad():
        whole = network(magnitudes)
        first, state = network.onward(magnitudes[:, :30], None)
        second, _ = network.onward(magnitudes[:, 30:], state)
        forgetful = network(magnitudes[:, 30:])
    assert torch.allclose(torch.cat([first, second], dim=1), whole, atol=1e-5)
    assert float((forgetful - whole[:, 30:]).abs().max()) > 1e-2, "else this tests nothing"


def test_one_block_is_the_whole_to_the_bit():
    network, mixture = random_network(SHORT), noise(5000)
    assert 5000 // SHORT.hop < BLOCK
    separator = NetworkSeparator(network, SHORT)
    wanted = at_once(network, SHORT, mixture, separator.level)
    assert np.array_equal(separator.separate(mixture)["voice"], wanted)


@dataclasses.dataclass(frozen=True)
class Watched(STFT):
    """A transform that notes how large its spectra are."""

    sizes: list = dataclasses.field(default_factory=list)

    def forward(self, sound):
        spectrum = super().forward(sound)
        self.sizes.append(spectrum.numel())
        return spectrum

    def inverse(self, spectrum, samples):
        self.sizes.append(spectrum.numel())
        return super().inverse(spectrum, samples)


def largest(length, block, cell="gru"):
    """The largest tensor that a module hears or says, and the largest spectrum."""
    stft = Watched(8000, 32, 8)
    network, sizes = random_network(stft, cell=cell, context=3), []

    def note(module, heard, said):
        said = said[0] if isinstance(said, tuple) else said
        sizes.extend([heard[0].numel(), said.numel()])

    for module in network.modules():
        module.register_forward_hook(note)
    separator, end = NetworkSeparator(network, stft, block=block), 0
    for first, piece in separator.stream(noise(length)):
        assert first == end
        end += piece.shape[1]
        sizes.append(piece.size)
    assert end == length
    return max(sizes), max(stft.sizes)


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_grows_with_the_song(cell):
    four, sixteen = (largest(seconds * 8000, 100, cell) for seconds in (4, 16))
    assert four == sixteen
    # Three frames of context, 17 bins: what the first layer hears of 100 frames.
    assert four[0] == 3 * 17 * 100
    assert four[1] <= 17 * (100 + 2 * SHORT.window // SHORT.hop)
    whole = largest(4 * 8000, 10**6, cell)
    assert whole[0] > 20 * four[0], "the whole song at once does"


def test_a_network_without_a_known_state_hears_the_whole():
    heard = []

    class Halves(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shares = torch.nn.Parameter(torch.tensor([0.3, 0.1]))

        def forward(self, mixture):
            heard.append(mixture.shape[1])
            return torch.cat([share * mixture for share in self.shares], dim=-1)

    mixture = noise(1000)
    found = NetworkSeparator(Halves(), SHORT, block=10).separate(mixture)
    assert heard == [1 + 1000 // SHORT.hop]
    assert np.allclose(found["voice"], 0.75 * mixture, atol=1e-6)


def test_a_song_in_a_file_need_not_be_read_whole(tmp_path):
    np.save(tmp_path / "song.npy", noise(3000))
    mapped = np.load(tmp_path / "song.npy", mmap_mode="r")
    separator = NetworkSeparator(random_network(SHORT), SHORT, block=50)
    found, wanted = separator.separate(mapped), separator.separate(noise(3000))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("stft", SHAPES)
def test_pieces_of_a_spectrum_are_the_spectrum(stft):
    mixture = noise(611)
    whole = stft.forward(torch.from_numpy(mixture))[0]
    for first, last in pairwise((0, 1, 2, 17, whole.shape[1])):
        part = spectrum_of(mixture, stft, first, last - first, gain=2.0)
        assert torch.allclose(part, 2.0 * whole[:, first:last], atol=1e-5)
    beyond = spectrum_of(mixture, stft, whole.shape[1] - 1, 3)
    assert torch.allclose(beyond[:, 0], whole[:, -1], atol=1e-5)
    assert not beyond[:, 1:].any()


@pytest.mark.parametrize("stft", SHAPES)
def test_sound_comes_back_piece_by_piece(stft):
    # No transform of any sound: what overlaps does not fit together, and has to be averaged.
    rng = torch.manual_seed(0)
    spectra = torch.randn(3, stft.bins, 1 + 500 // stft.hop, dtype=torch.complex64, generator=rng)
    for step in (1, 4, 1000):
        ends = [*range(step, spectra.shape[2], step), spectra.shape[2]]
        pieces = [(end, spectra[..., start:end]) for start, end in pairwise([0, *ends])]
        firsts, sounds = zip(*overlap_added(pieces, stft, 500), strict=True)
        assert list(firsts) == [0, *np.cumsum([sound.shape[1] for sound in sounds])[:-1]]
        wanted = stft.inverse(spectra, 500).numpy()
        found = np.concatenate(sounds, axis=1)
        assert np.allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_loudness_is_that_of_the_whole():
    mixture = noise(1000)
    mixture[:, 900:] *= 50
    assert loudness(mixture, block=64) == pytest.approx(rms(mixture), rel=1e-12)


@pytest.mark.parametrize(
    ("mixture", "said"),
    [
        (np.zeros((1, 500), np.float32), "the mixture is silent. Expected: sound to separate"),
        (np.full((1, 500), np.nan, np.float32), "the mixture is not finite"),
        (np.ones((2, 500), np.float32), r"a mixture of shape \(2, 500\).*separate each channel"),
        (np.ones((1, 0), np.float32), r"a mixture of shape \(1, 0\)"),
    ],
)
def test_what_cannot_be_separated_is_refused(mixture, said):
    with pytest.raises(AudioError, match=said):
        NetworkSeparator(random_network(SHORT), SHORT).separate(mixture)
