"""Training vectors from solo recordings: the paper's formula, blocks, memory, refusals."""

import weakref

import numpy as np
import pytest
import torch

from aids import noise
from unmix.errors import DatasetError
from unmix.models.extraction import with_neighbours
from unmix.stft import STFT
from unmix.training import generator
from unmix.training.generator import AMPLITUDES, BLOCK, Examples, Generator, Solo

WINDOW, CONTEXT, BINS = 16, 2, 9
SIZE = (2 * CONTEXT + 1) * WINDOW
FEATURES = (2 * CONTEXT + 1) * BINS


def solo(*recordings, name="horn", **more):
    return Solo.of(recordings, SIZE, name, **more)


def drawing(*recordings, **more):
    """A generator of instruments with one recording each, noise unless others are given."""
    chosen = recordings or [noise(3000, seed)[0] for seed in range(3)]
    solos = tuple(solo(each) for each in chosen)
    return Generator(solos, WINDOW, CONTEXT, **{"seed": 5, **more})


def counted(length):
    """A recording whose samples are their own numbers, so that a segment says where it begins."""
    return np.arange(1, length + 1, dtype=np.float32)


def test_a_vector_is_what_the_paper_says():
    """Eqs. 3a and 3b from complex frames of the package's own transform at 50 % overlap."""
    made = drawing()
    rng = np.random.default_rng([5, 0, 2])
    places = [each.drawn(rng, BLOCK) for each in made.solos]
    amplitudes = rng.uniform(*AMPLITUDES, (3, BLOCK))
    stft = STFT(8000, WINDOW, WINDOW // 2, "boxcar")
    for target in range(3):
        inputs, targets = made.block(2, target)
        for row in (0, 63, 64, 1023):
            frames = []
            for each, place in zip(made.solos, places, strict=True):
                spectrum = stft.forward(each.sound[place[row] :].double().float())
                # Frame 1 is the first that begins with the sound; every second one is context.
                frames.append(spectrum[:, 1 : 2 * (2 * CONTEXT + 1) : 2].T.numpy())
            gains = amplitudes[:, row]
            mixture = np.abs(sum(a * s for a, s in zip(gains, frames, strict=True)))
            norm = np.linalg.norm(mixture, axis=1).mean()
            wanted = gains[target] * np.abs(frames[target][CONTEXT]) / norm
            assert np.allclose(inputs[row], mixture.ravel() / norm, atol=1e-5)
            assert np.allclose(targets[row], wanted, atol=1e-5)


def test_amplitudes_are_uniform_independent_and_placed_anywhere():
    ramps = [counted(400), counted(500)]
    made = drawing(*ramps, seed=1)
    firsts, gains = [], []
    for number in range(8):
        rng = np.random.default_rng([1, 0, number])
        places = np.stack([each.drawn(rng, BLOCK) for each in made.solos])
        firsts.append(places)
        gains.append(rng.uniform(*AMPLITUDES, places.shape))
    firsts, gains = np.concatenate(firsts, axis=1), np.concatenate(gains, axis=1)
    for own, length in zip(firsts, (400, 500), strict=True):
        assert own.min() == 0
        assert own.max() == length - SIZE, "the last segment ends with the recording"
        assert abs(own.mean() / (length - SIZE) - 0.5) < 0.02
    assert gains.min() > 0.01
    assert gains.max() < 1.0
    assert np.allclose(gains.mean(1), 0.505, atol=0.01)
    assert abs(np.corrcoef(gains)[0, 1]) < 0.05


def test_segments_never_straddle_two_recordings_and_long_ones_count_more():
    lengths = (100, SIZE, 300)
    recordings = [counted(length) + 1000 * number for number, length in enumerate(lengths)]
    own = solo(*recordings, noise(SIZE - 1)[0])
    places = own.drawn(np.random.default_rng(0), 20_000)
    segments = own.sound.unfold(0, SIZE, 1)[torch.from_numpy(places)]
    assert bool((segments.diff() == 1.0).all()), "consecutive samples of one recording"
    found = np.bincount((segments[:, 0] // 1000).long().numpy()) / 20_000
    chances = np.array([length - SIZE + 1 for length in lengths])
    assert np.allclose(found, chances / chances.sum(), atol=0.01)


def test_the_same_vectors_come_in_blocks_of_any_size():
    count = 2 * BLOCK + 100
    made = drawing()
    whole = Examples(made, 1, count, 0.0).rows(0, count)
    assert whole[0].shape == (count, FEATURES)
    assert whole[1].shape == (count, BINS)
    for memory in (0.0, 1e9):
        for size in (1, 100, 1024, count):
            examples = Examples(made, 1, count, memory)
            assert examples.held == (memory > 0)
            last = 150 if size == 1 else count
            parts = [
                portion for portion, _ in zip(examples.blocks(size), range(last), strict=False)
            ]
            for found, wanted in zip(zip(*parts, strict=True), whole, strict=True):
                assert torch.equal(torch.cat(found), wanted[: min(count, last * size)])


def test_more_vectors_begin_with_the_same_ones_and_streams_and_seeds_differ():
    made = drawing()
    few, many = (Examples(made, 0, count, 0.0).rows(0, 50) for count in (50, 3000))
    assert torch.equal(few[0], many[0])
    for other in (drawing(stream=1), drawing(seed=6)):
        assert not torch.allclose(Examples(other, 0, 50, 0.0).rows(0, 50)[0], few[0])


def test_all_targets_are_heard_in_the_same_mixtures():
    made = drawing()
    inputs, targets = zip(*(made.block(0, target) for target in range(3)), strict=True)
    assert torch.equal(inputs[0], inputs[1])
    assert torch.equal(inputs[0], inputs[2])
    assert not torch.allclose(targets[0], targets[1])


def test_gamma_makes_the_input_independent_of_level():
    recordings = [noise(3000, seed)[0] for seed in range(2)]
    quiet, loud = (drawing(*(gain * each for each in recordings)) for gain in (1e-3, 8.0))
    for found, wanted in zip(quiet.block(0, 0), loud.block(0, 0), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)
    frames = quiet.block(0, 0)[0].view(BLOCK, -1, BINS)
    assert torch.allclose(frames.norm(dim=2).mean(1), torch.ones(BLOCK), atol=1e-5)


def test_the_separator_hears_what_was_trained_with():
    recording = noise(3000)[0]
    inputs, targets = drawing(recording).block(0, 0)
    place = solo(recording).drawn(np.random.default_rng([5, 0, 0]), 1)[0]
    stft = STFT(8000, WINDOW, WINDOW // 2, "boxcar")
    heard = stft.forward(torch.from_numpy(recording[place : place + SIZE])).abs().T
    found, norm = with_neighbours(heard[1:-1], CONTEXT, 2)
    assert found.shape == (1, FEATURES)
    assert torch.allclose(found[0], inputs[0], atol=1e-5)
    assert torch.allclose(heard[1 + 2 * CONTEXT] / norm[0], targets[0], atol=1e-5)


def with_pause(share=0.9, length=6000, seed=0):
    sound = noise(length, seed)[0]
    sound[: round(share * length)] = 0.0
    return sound


def test_vectors_without_any_sound_are_drawn_anew():
    recordings = [with_pause(seed=seed) for seed in range(2)]
    inputs, targets = drawing(*recordings).block(0, 0)
    assert bool(torch.isfinite(inputs).all())
    assert torch.allclose(inputs.view(BLOCK, -1, BINS).norm(dim=2).mean(1), torch.ones(BLOCK))
    silent = (targets == 0.0).all(1).float().mean()
    assert 0.2 < silent < 0.7, "an instrument may pause as long as another plays"


def test_pauses_can_be_left_out():
    recordings = [with_pause(0.5, seed=seed) + 1e-5 * noise(6000, seed + 9)[0] for seed in range(2)]
    for target in range(2):
        quiet = [
            (drawing(*recordings, pauses=pauses).block(0, target)[1].norm(dim=1) < 1e-3).float()
            for pauses in (True, False)
        ]
        assert quiet[0].mean() > 0.2
        # Those at the edge of a pause remain.
        assert quiet[1].mean() < 0.03


def test_a_limit_takes_the_same_share_of_each_recording():
    own = solo(counted(1000), 5000 + counted(3000), limit=800)
    assert len(own.sound) == 800
    assert own.starts.tolist() == [0, 200]
    assert own.sound[[0, 199, 200, 799]].tolist() == [1.0, 200.0, 5001.0, 5600.0]
    assert len(solo(counted(1000), limit=1001).sound) == 1000


@pytest.mark.parametrize(
    ("recordings", "said"),
    [
        ([], "recordings of the tuba: none"),
        ([noise(SIZE - 1)], f"1 recordings, the longest of {SIZE - 1} samples.*at least {SIZE}"),
        ([np.zeros(500, np.float32)], "recordings of the tuba are silent"),
        ([np.full(500, np.nan, np.float32)], "recordings of the tuba are not finite"),
    ],
)
def test_material_that_gives_no_vector_is_refused(recordings, said):
    with pytest.raises(DatasetError, match=said):
        solo(*recordings, name="tuba")


def test_streaming_holds_one_block_at_a_time():
    """What was given out and let go is not kept, however many vectors there are."""
    examples = Examples(drawing(), 0, 4 * BLOCK, 0.0)
    before, alive = [], []
    for inputs, _ in examples.blocks(BLOCK):
        alive.append(sum(each() is not None for each in before))
        before.append(weakref.ref(inputs.untyped_storage()))
        del inputs
    assert max(alive) <= 1


@pytest.mark.parametrize("pauses", [True, False])
def test_a_gpu_makes_the_same_vectors(monkeypatch, pauses):
    """By its own way of adding segments, here on the CPU."""
    made = drawing(*(with_pause(0.3, seed=seed) for seed in range(3)), pauses=pauses)
    wanted = made.block(0, 1)
    monkeypatch.setattr(Generator, "_in_cache", Generator._gathered)
    for found, own in zip(made.block(0, 1), wanted, strict=True):
        assert torch.allclose(found, own, atol=1e-6)


def test_pieces_change_no_vector(monkeypatch):
    wanted = drawing().block(0, 0)
    monkeypatch.setattr(generator, "PIECE", 100)
    for found, own in zip(drawing().block(0, 0), wanted, strict=True):
        assert torch.allclose(found, own, atol=1e-6)
