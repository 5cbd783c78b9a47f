"""DRDNN: its equations by other means, its variants and baselines, and what it can learn."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from aids import count, noise, seeded
from unmix.errors import AudioError, SpecError
from unmix.models import decoupling
from unmix.models.decoupling import SYSTEMS, DecouplingNetwork, banded
from unmix.models.patches import PatchSeparator, fading
from unmix.stft import STFT

SMALL = DecouplingNetwork(bins=17, frames=10, overlap=3, maps=2, convolutions=2, cells=5, units=6)
SHORT = STFT(8000, 32, 8, "blackmanharris")
SOURCES = ("vocals", "bass", "drums", "other")


def magnitudes(batch=3, frames=10, bins=17, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.abs(rng.standard_normal((batch, frames, bins))).astype(np.float32))


# --- the network ---------------------------------------------------------------------------------


def test_each_convolution_halves_what_is_left():
    assert DecouplingNetwork().heights() == [513, 258, 130, 66]
    assert DecouplingNetwork().features == 8 * 66
    assert DecouplingNetwork(convolutions=0).features == 513


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("outputs", [1, 4])
def test_an_output_a_source_of_the_size_of_the_input(system, outputs):
    network = dataclasses.replace(SMALL, system=system).build(outputs)
    assert network(magnitudes()).shape == (3, outputs, 10, 17)
    assert network(magnitudes(frames=4)).shape == (3, outputs, 4, 17)


@pytest.mark.parametrize(("size", "height"), [(1, 1), (1, 5), (4, 1), (3, 6)])
def test_a_banded_matrix_does_what_a_filter_does(size, height):
    weight = torch.randn(2, 3, size)
    matrix = banded(weight, height)
    for i, j in itertools.product(range(height + size - 1), range(height)):
        wanted = weight[..., i - j] if 0 <= i - j < size else torch.zeros(2, 3)
        assert torch.equal(matrix[..., i, j], wanted)


def test_filters_begin_by_passing_the_lower_bins_on(monkeypatch):
    monkeypatch.setattr(decoupling, "BESIDES", 0.0)
    reducing = seeded(dataclasses.replace(SMALL, start="dirac"), 4).reducing
    x = magnitudes()[0]
    low = SMALL.heights()[-1]
    features = reducing.reduce(x)
    assert torch.equal(features.unflatten(1, (2, low))[:, 0], x[:, :low])
    assert torch.equal(features.unflatten(1, (2, low))[:, 1], x[:, :low])
    assert torch.equal(reducing.restore(features)[:, :low], 2 * x[:, :low]), "of two maps"


def test_a_start_of_filters_tells_only_networks_with_filters_apart():
    own = dataclasses.replace(SMALL, start="dirac")
    assert own.like("dcnn").start == "dirac"
    for other in (own.like("mlp"), own.like("drnn"), own.without_convolutions()):
        assert other.start == "normal"
    assert own.weights() == SMALL.weights()
    with pytest.raises(SpecError, match=r"unknown start of filters 'drac'.*did you mean 'dirac'"):
        DecouplingNetwork(start="drac")


def test_convolutions_there_and_back_are_torchs():
    reducing = seeded(SMALL, 4).reducing
    x = magnitudes()[0]
    wanted = x[:, None]
    for layer in reducing.down:
        wanted = layer(wanted).relu()
    assert torch.allclose(reducing.reduce(x), wanted.flatten(1), atol=1e-6)
    features = torch.randn(7, SMALL.features)
    wanted = features.unflatten(1, reducing.shape)
    for number, layer in enumerate(reducing.up):
        wanted = layer(wanted.relu() if number else wanted)
    assert torch.allclose(reducing.restore(features), wanted.flatten(1), atol=1e-6)


def test_sources_go_apart_at_the_perceptrons_and_share_what_comes_before_and_after():
    network = seeded(SMALL, 4)
    before = network(magnitudes())
    with torch.no_grad():
        network.decoupling[2][0].weight.add_(1.0)
    moved = (network(magnitudes()) - before).abs().amax((0, 2, 3)) > 0
    assert moved.tolist() == [False, False, True, False]


def test_stages_are_those_of_figure_5():
    network = SMALL.build(4)
    found = network.stages(magnitudes())
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "reduced": (3, 10, SMALL.features),
        "fused": (3, 10, 10),
        "decoupled": (3, 4, 10, 10),
        "restored": (3, 4, 10, 17),
    }
    last = dataclasses.replace(SMALL, unroll="last").build(4).stages(magnitudes())
    assert last["fused"].shape == (3, 1, 10)
    assert last["decoupled"].shape == (3, 4, 1, 10)


def test_one_state_a_patch_is_the_last_of_either_direction():
    network = seeded(dataclasses.replace(SMALL, unroll="last"), 4)
    states, _ = network.first(network.reducing.reduce(magnitudes()))
    wanted = torch.cat([states[:, -1, :5], states[:, 0, 5:]], dim=1)
    assert torch.allclose(network.stages(magnitudes())["fused"][:, 0], wanted, atol=1e-6)


def test_variants_lack_what_they_are_called_after():
    whole = count(SMALL.build(4))
    perceptrons = 4 * SMALL.layers * (10 * 10 + 10)
    assert count(dataclasses.replace(SMALL, layers=0).build(4)) == whole - perceptrons
    without = dataclasses.replace(SMALL, convolutions=0).build(4)
    assert not list(without.reducing.parameters())
    assert without.first.input_size == 17


@pytest.mark.parametrize("system", ["mlp", "dcnn", "drnn"])
def test_a_baseline_has_as_many_weights_as_drdnn(system):
    own = DecouplingNetwork()
    rival = own.like(system)
    assert rival.system == system
    assert rival.weights() == count(rival.build(4))
    assert abs(rival.weights() / own.weights() - 1) < 0.01
    for units in (rival.units - 1, rival.units + 1):
        other = dataclasses.replace(rival, units=units)
        assert abs(other.weights() - own.weights()) >= abs(rival.weights() - own.weights())


# --- mask and objective --------------------------------------------------------------------------


def test_masked_estimates_share_the_mixture_out_by_the_outputs_magnitudes():
    network, heard = seeded(SMALL, 4), magnitudes()
    outputs, found = network(heard).abs(), network.estimates(heard)
    assert torch.allclose(found.sum(1), heard, rtol=1e-5)
    assert torch.allclose(found, outputs / outputs.sum(1, keepdim=True) * heard[:, None], atol=1e-5)
    bare = dataclasses.replace(SMALL, mask=False).build(4)
    bare.load_state_dict(network.state_dict())
    assert torch.equal(bare.estimates(heard), outputs)


def test_the_objective_is_equation_11_by_loops():
    heard, true = magnitudes(), [magnitudes(seed=each) for each in range(1, 5)]
    for beta in (0.0, 0.3):
        network = seeded(dataclasses.replace(SMALL, beta=beta), 4)
        found = network.estimates(heard)
        wanted = sum((found[:, i] - true[i]).square().sum() for i in range(4))
        wanted = wanted - beta * sum(
            (found[:, i] - true[j]).square().sum() for i in range(4) for j in range(4) if i != j
        )
        size = 4 * heard.numel()
        assert network.objective(heard, *true).item() == pytest.approx(
            wanted.item() / size, rel=1e-4
        )


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("mask", [True, False])
def test_it_learns_which_bins_are_whose(system, mask):
    settings = dataclasses.replace(SMALL, system=system, mask=mask, units=16)
    network = seeded(settings, 2)
    places = torch.arange(17) < 8
    heard = magnitudes(8)
    true = [heard * places, heard * ~places]
    adam = torch.optim.Adam(network.parameters(), 0.01)
    with torch.no_grad():
        before = float(network.objective(heard, *true))
    for _ in range(250):
        adam.zero_grad()
        network.objective(heard, *true).backward()
        adam.step()
    assert float(network.objective(heard, *true).detach()) < 0.4 * before


# --- patches -------------------------------------------------------------------------------------


class Shares(torch.nn.Module):
    """Gives each source a constant share of the mixture; remembers how loud it was."""

    def __init__(self, *shares):
        super().__init__()
        self.shares = torch.nn.Parameter(torch.tensor(shares))
        self.heard = []

    def estimates(self, mixture):
        self.heard.append(mixture.clone())
        return self.shares[:, None, None] * mixture[:, None]


@pytest.mark.parametrize(("size", "overlap"), [(50, 15), (10, 0), (10, 5), (3, 1)])
def test_neighbours_weights_add_up_to_one(size, overlap):
    weights = fading(size, overlap)
    assert torch.allclose(
        weights[:overlap] + weights[size - overlap :], torch.ones(overlap), atol=1e-7
    )
    assert (weights[overlap : size - overlap] == 1.0).all()
    assert (weights > 0.0).all()


@pytest.mark.parametrize("at_once", [1, 3])
def test_shares_of_the_mixture_come_back_at_every_length(at_once):
    network = Shares(0.75, 0.25)
    separator = PatchSeparator(network, SHORT, ("a", "b"), 10, 3, at_once)
    for samples in range(1, 3 * 10 * SHORT.hop + 20, 1 if at_once == 1 else 7):
        mixture = (
            noise(samples, samples)[None] if noise(1, 0).ndim == 1 else noise(samples, samples)
        )
        found = separator.separate(mixture)
        assert np.allclose(found["a"], 0.75 * mixture, atol=1e-5), samples
        assert np.allclose(found["b"], 0.25 * mixture, atol=1e-5), samples


def test_patches_hear_every_frame_at_one_level():
    network = Shares(1.0)
    separator = PatchSeparator(network, SHORT, ("a",), 10, 3)
    rng = np.random.default_rng(0)
    mixture = 0.01 * rng.standard_normal((1, 8 * 80)).astype(np.float32)
    separator.separate(mixture)
    separator.separate(100.0 * mixture)
    quiet, loud = network.heard
    assert torch.allclose(quiet, loud, rtol=1e-4, atol=1e-6)
    spectrum = SHORT.forward(torch.from_numpy(mixture))[0].abs().T
    spectrum = spectrum / spectrum.square().mean().sqrt()
    frames = len(spectrum)
    starts = range(0, frames - 3, 7)
    assert len(quiet) == len(starts)
    for patch, start in zip(quiet, starts, strict=True):
        wanted = spectrum[start : start + 10]
        assert torch.allclose(patch[: len(wanted)], wanted, rtol=1e-4, atol=1e-5)
        assert not patch[len(wanted) :].any()


def test_a_neighbours_answer_fades_in():
    """Two patches that answer differently meet in a straight line."""

    class Counting(Shares):
        def estimates(self, mixture):
            number = torch.arange(1, len(mixture) + 1)[:, None, None, None]
            return number * mixture[:, None]

    separator = PatchSeparator(Counting(1.0), STFT(8000, 2, 1, "hann"), ("a",), 10, 3)
    mixture = np.ones((1, 16), np.float32)
    gains = torch.cat([piece for _, piece in separator._answered(mixture, 17, 1.0)], dim=2)
    spectrum = separator.stft.forward(torch.from_numpy(mixture))
    found = (gains[0, 0] / spectrum[0, 0]).real[:16]
    assert torch.allclose(found[7:10], torch.tensor([1.25, 1.5, 1.75]))
    assert torch.allclose(found[:7], torch.ones(7))
    assert torch.allclose(found[10:], torch.full((6,), 2.0))


def test_silence_and_two_channels_are_refused():
    separator = SMALL.around(SMALL.build(4), SHORT, SOURCES)
    with pytest.raises(AudioError, match="the mixture is silent"):
        separator.separate(np.zeros((1, 100), np.float32))
    with pytest.raises(AudioError, match=r"shape \(2, 100\)"):
        separator.separate(np.ones((2, 100), np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "rnn"}, "unknown system 'rnn'"),
        ({"unroll": "first"}, "unknown way to unroll 'first'"),
        ({"maps": 0}, "0 maps"),
        ({"overlap": 6}, "patches of 10 frames that share 6"),
        ({"convolutions": -1}, "-1 convolutions of 17 bins"),
        ({"layers": -1}, "perceptrons of -1 layers"),
        ({"beta": 1.0}, "a discriminative weight of 1.0"),
    ],
)
def test_settings_that_make_no_network_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(SMALL, **changes)
    with pytest.raises(SpecError, match="a transform of 33 bins for patches of 17"):
        SMALL.around(SMALL.build(4), STFT(8000, 64, 16), SOURCES)
