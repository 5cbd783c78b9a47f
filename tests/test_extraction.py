"""Instruments extracted by networks: settings, the chain there and back, learning, restoring."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from aids import noise
from unmix import masks
from unmix.datasets.track import Clip, Scene
from unmix.errors import AudioError, CheckpointError, DatasetError, SpecError
from unmix.models import extraction
from unmix.models.extraction import InstrumentNetwork, InstrumentSeparator, context_step
from unmix.models.separator import describe, settings_class
from unmix.plain import from_plain, to_plain
from unmix.stft import STFT
from unmix.training import layerwise
from unmix.training.checkpoint import Keeping
from unmix.training.layerwise import flat

RATE, WINDOW, BINS = 8000, 64, 33
BOXCAR = STFT(RATE, WINDOW, WINDOW // 2, "boxcar")
PAIR = ("flute", "drum")
TONES = {"flute": (440.0, 1320.0, 2200.0), "drum": (700.0, 1750.0, 3050.0)}
SMALL = InstrumentNetwork(
    layers=2, iterations=3, fine=2, context=1, examples=300, watched=100, memory=1.0
)


def tones(name, seed, seconds=1.0):
    """A tone-instrument: partials with phases and swells drawn from the seed, and its breath."""
    rng = np.random.default_rng([seed, len(name)])
    time = np.arange(round(seconds * RATE)) / RATE
    swell = 1.0 + 0.8 * np.sin(2 * np.pi * rng.uniform(2, 5) * time + rng.uniform(0, 6))
    partials = sum(np.sin(2 * np.pi * f * time + rng.uniform(0, 6)) for f in TONES[name])
    breath = 1e-3 * rng.standard_normal(len(time))
    return (0.1 * swell * partials + breath)[None].astype(np.float32)


def solo(name, sound, number=0):
    return Scene(Clip(f"{name}/{number}", f"{name} {number}"), RATE, sound, {name: sound})


def mixed(part):
    first = 0 if part == "train" else 50
    for number in range(first, first + 3):
        for name in PAIR:
            yield solo(name, tones(name, number), number)


def learnt(settings=SMALL, material=mixed, sources=PAIR, stft=BOXCAR, seed=0, **keeping):
    return settings.learn(material, stft, seed, sources, Keeping(**keeping))


@pytest.fixture(scope="module")
def small():
    return learnt()[0]


def gain(weights, middle=BINS):
    """A network of one layer that weighs the bins of the middle of three frames."""
    layer = torch.zeros(BINS, 3 * BINS)
    layer[:, middle : middle + BINS] = torch.diag(torch.as_tensor(weights, dtype=torch.float32))
    return {"1st layer": ((layer, torch.zeros(BINS)),)}


def made(*weights, context=1, **more):
    return InstrumentSeparator(dict(zip(PAIR, weights, strict=False)), BOXCAR, context, **more)


# There and back


@pytest.mark.parametrize("length", [1, 31, 64, 500, 2049])
def test_identity_networks_give_the_mixture_back(length):
    """Raw, each is the mixture; filtered, they share it."""
    mixture = noise(length)
    found = made(gain(np.ones(BINS)), gain(np.ones(BINS))).answers(mixture)
    assert list(found) == ["1st layer, Raw", "1st layer, WF"]
    for name in PAIR:
        assert np.allclose(found["1st layer, Raw"][name], mixture, atol=1e-5)
        assert np.allclose(found["1st layer, WF"][name], mixture / 2, atol=1e-5)


def test_networks_that_know_the_bands_give_the_sources_back():
    """Perfect targets through the whole chain: frames that hold one source's bins each."""
    stft = STFT(RATE, WINDOW, WINDOW, "boxcar")
    low = (np.arange(BINS) < 16).astype(float)
    spectra = stft.forward(torch.from_numpy(noise(WINDOW * 20)))
    sources = [
        stft.inverse(spectra * torch.from_numpy(own).float()[:, None], WINDOW * 20).numpy()
        for own in (low, 1.0 - low)
    ]
    networks = {"flute": gain(low), "drum": gain(1.0 - low)}
    found = InstrumentSeparator(networks, stft, 1).answers(sources[0] + sources[1])
    for answer in found.values():
        for name, source in zip(PAIR, sources, strict=True):
            assert np.allclose(answer[name], source, atol=1e-5)


def test_the_output_scales_with_the_mixture(small):
    mixture = sum(tones(name, 7) for name in PAIR)
    quiet, loud = (small.answers(gain * mixture) for gain in (np.float32(0.01), np.float32(4.0)))
    for variant, found in loud.items():
        for name in PAIR:
            wanted = 400.0 * quiet[variant][name]
            assert np.allclose(found[name], wanted, atol=1e-4 * np.abs(wanted).max())


def test_context_is_every_second_frame_before_and_after_and_silence_beyond():
    """A network that passes on an outer frame repeats the frame one window away."""
    mixture = noise(WINDOW * 10)
    whole = BOXCAR.forward(torch.from_numpy(mixture))[0].abs()
    for middle, shift in ((0, -2), (2 * BINS, 2)):
        separator = made(gain(np.ones(BINS), middle))
        ((last, found),) = separator._spectra(mixture, ("1st layer",), ("Raw",))
        assert last == found.shape[2] == whole.shape[1]
        wanted = torch.zeros_like(whole)
        if shift < 0:
            wanted[:, 2:] = whole[:, :-2]
        else:
            wanted[:, :-2] = whole[:, 2:]
        assert torch.allclose(found[0].abs(), wanted, atol=1e-4)


def test_silence_gives_silence(small):
    for answer in small.answers(np.zeros((1, 700), np.float32)).values():
        for sound in answer.values():
            assert np.array_equal(sound, np.zeros((1, 700), np.float32))


def test_blocks_say_what_the_whole_says(small, monkeypatch):
    mixture = sum(tones(name, 7) for name in PAIR)[:, :5011]
    whole = small.answers(mixture)
    for frames in (1, 7, 64):
        monkeypatch.setattr(extraction, "FRAMES", frames)
        for variant, found in small.answers(mixture).items():
            for name in PAIR:
                assert np.allclose(found[name], whole[variant][name], atol=1e-6)
        heard = list(small.stream(mixture))
        firsts = [first for first, _ in heard]
        assert firsts == [0, *np.cumsum([piece.shape[1] for _, piece in heard])[:-1]]
        assert all(later > sooner for sooner, later in pairwise(firsts))
        assert max(piece.shape[1] for _, piece in heard) <= (frames + 3) * BOXCAR.hop


def test_separate_gives_the_last_answer(small):
    mixture = sum(tones(name, 7) for name in PAIR)
    found = small.answers(mixture)
    assert list(found) == [
        "1st layer, Raw", "1st layer, WF", "2nd layer, Raw", "2nd layer, WF",
        "fine tuning, Raw", "fine tuning, WF",
    ]  # fmt: skip
    for name, sound in small.separate(mixture).items():
        assert sound.shape == mixture.shape
        assert np.array_equal(sound, found["fine tuning, WF"][name])
        assert not np.allclose(sound, found["1st layer, WF"][name], atol=1e-6)
        assert not np.allclose(sound, found["fine tuning, Raw"][name], atol=1e-6)
    filtered = sum(found["fine tuning, WF"].values())
    assert np.allclose(filtered, mixture, atol=1e-5), "the masks add up to 1"


@pytest.mark.parametrize("shape", [(2, 100), (100,), (1, 0)])
def test_what_is_not_one_channel_is_refused(small, shape):
    for call in (small.answers, small.separate, lambda mixture: list(small.stream(mixture))):
        with pytest.raises(AudioError, match="one channel"):
            call(np.ones(shape, np.float32))


# The Wiener filter


@pytest.mark.parametrize("exponent", [1.0, 2.0, 4.0])
def test_the_wiener_filter_shares_by_powers(exponent):
    outputs = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    found = masks.wiener(outputs, exponent)
    wanted = outputs**exponent / (outputs**exponent).sum(0)
    assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.allclose(found.sum(0), torch.ones(5, 7))
    assert torch.allclose(masks.wiener(1e-30 * outputs, exponent), wanted, atol=1e-5)


def test_the_wiener_filter_shares_equally_where_nothing_is_put_out():
    outputs = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    wanted = torch.tensor([[1 / 3, 1.0, 0.0], [1 / 3, 0.0, 0.5], [1 / 3, 0.0, 0.5]])
    assert torch.allclose(masks.wiener(outputs), wanted)


def test_the_exponent_is_a_setting():
    mixture = noise(640)
    for exponent, share in ((1.0, 0.75), (2.0, 0.9)):
        separator = made(gain(np.full(BINS, 3.0)), gain(np.ones(BINS)), exponent=exponent)
        assert np.allclose(separator.separate(mixture)["flute"], share * mixture, atol=1e-5)


# Learning


def test_two_instruments_of_tones_are_told_apart():
    settings = dataclasses.replace(SMALL, iterations=40, fine=40, examples=2000, context=2)
    separator, history = learnt(settings)
    sources = {name: tones(name, 99, 2.0) for name in PAIR}
    mixture = sum(sources.values())
    found = separator.answers(mixture)
    for name, source in sources.items():
        before = np.sum(source**2) / np.sum((mixture - source) ** 2)
        for variant in ("fine tuning, Raw", "fine tuning, WF"):
            error = found[variant][name] - source
            after = np.sum(source**2) / np.sum(error**2)
            assert 10 * np.log10(after / before) > 10.0, (name, variant)
        its = [row for row in history if row["network"] == name]
        assert its[-1]["train_loss"] < its[0]["train_loss"] < 0.5
        assert its[-1]["valid_loss"] < 0.5


def test_weights_come_back_exactly(small):
    mixture = sum(tones(name, 7) for name in PAIR)
    again = SMALL.restore(small.tensors(), BOXCAR, PAIR)
    assert again.tensors().keys() == small.tensors().keys()
    for variant, found in again.answers(mixture).items():
        for name, sound in small.answers(mixture)[variant].items():
            assert np.array_equal(found[name], sound)
    assert len(small.tensors()) == 2 * (1 + 2 + 2) * 2, "of all stages"


def test_a_seed_gives_one_result_and_another_seed_another(small):
    for seed, wanted in ((0, True), (1, False)):
        again = learnt(seed=seed)[0]
        for name in PAIR:
            found, own = (flat(each.networks[name]["1st layer"]) for each in (again, small))
            assert torch.equal(found, own) == wanted


def test_an_interrupted_run_goes_on_to_the_bit(tmp_path, monkeypatch, small):
    monkeypatch.setattr(layerwise, "SAVE_S", 0.0)

    told = []

    def stop(row):
        told.append(row)
        if len(told) == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt(folder=tmp_path, log=stop)
    separator, history = learnt(folder=tmp_path)
    assert len(history) == 2 * (4 + 4 + 3)
    for name, value in small.tensors().items():
        assert torch.equal(separator.tensors()[name], value)
    assert separator.findings == small.findings

    def unread(part):
        raise AssertionError("nothing is left to learn")

    finished = learnt(material=unread, folder=tmp_path)[0]
    assert finished.tensors().keys() == small.tensors().keys()
    with pytest.raises(CheckpointError, match="other"):
        learnt(folder=tmp_path, identity="other")


def test_findings_are_by_instrument(small):
    assert set(small.findings) == set(PAIR)
    for found in small.findings.values():
        assert 0.0 < found["J"] < 1.0
    json.dumps(small.findings, allow_nan=False)


def test_less_material_gives_other_vectors_of_that_instrument(monkeypatch, small):
    monkeypatch.setattr(layerwise, "SAVE_S", 0.0)
    less = dataclasses.replace(SMALL, minutes_of=(("drum", 0.5 / 60),), iterations=0, fine=0)
    whole = dataclasses.replace(SMALL, iterations=0, fine=0)
    more = dataclasses.replace(less, minutes_of=(("drum", 60.0),))
    first, second, third = (
        flat(learnt(each)[0].networks["drum"]["1st layer"]) for each in (less, whole, more)
    )
    assert not torch.equal(first, second)
    assert torch.equal(third, second), "there is no more than there is"


def only(*names, sound=None):
    def part(which):
        for scene in mixed(which):
            (name,) = scene.references
            if name in names:
                yield scene
            elif sound is not None:
                yield solo(name, sound)

    return part


@pytest.mark.parametrize(
    ("material", "said"),
    [
        (only("flute"), "part 'train'.*recordings of the drum: none"),
        (only("drum", sound=noise(100)), "of the flute: 3 recordings, the longest of 100"),
        (only("drum", sound=np.zeros((1, 900), np.float32)), "recordings of the flute are silent"),
        (lambda part: mixed(part) if part == "train" else [], "part 'valid'.*of the flute: none"),
    ],
)
def test_an_instrument_without_material_is_named(material, said):
    with pytest.raises(DatasetError, match=said):
        learnt(material=material)


# Settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context": -1}, "-1 context frames"),
        ({"examples": 0}, "0 training vectors"),
        ({"watched": 0}, "0 to watch"),
        ({"exponent": 0.0}, "an exponent of 0.0"),
        ({"memory": -1.0}, "-1.0 GB of memory"),
        ({"minutes_of": (("drum", 0.0),)}, "drum 0.*positive number"),
        ({"minutes_of": (("drum", 1.0), ("drum", 2.0))}, "each instrument once"),
        ({"layers": 0}, "0 layers"),
    ],
)
def test_settings_that_make_no_network_are_refused(change, said):
    with pytest.raises(SpecError, match=said):
        InstrumentNetwork(**change)


def test_minutes_of_an_instrument_that_is_not_there_are_refused():
    with pytest.raises(SpecError, match=r"minutes of material for 'tuba'.*flute, drum"):
        learnt(dataclasses.replace(SMALL, minutes_of=(("tuba", 1.0),)))


@pytest.mark.parametrize("stft", [STFT(RATE, 64, 16), STFT(RATE, 64, 24, "boxcar")])
def test_frames_that_cannot_stand_side_by_side_are_refused(stft):
    with pytest.raises(SpecError, match="a boxcar window, and a hop that divides it"):
        learnt(stft=stft)
    assert context_step(STFT(RATE, 64, 16, "boxcar")) == 4


def test_settings_survive_their_plain_form():
    settings = dataclasses.replace(SMALL, minutes_of=(("drum", 1.5), ("flute", 2.0)))
    data = json.loads(json.dumps(to_plain(settings)))
    assert from_plain(settings_class(describe(settings)), data, "separator") == settings
