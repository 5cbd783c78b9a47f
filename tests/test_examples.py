"""Training examples: chunks, pairings and the spectra they are cut from."""

import numpy as np
import pytest
import torch

from unmix.audio import mix
from unmix.errors import DatasetError
from unmix.runs.scene import scenes
from unmix.runs.spec import Mixing
from unmix.stft import STFT
from unmix.training.examples import (
    KEEP,
    SCALES,
    CompactBank,
    SpectrumBank,
    epoch,
    in_order,
    repaired,
)

FRAMES = 30


@pytest.fixture(scope="module", params=[0.0, -5.0])
def snr(request):
    return request.param


@pytest.fixture(scope="module")
def bank(small_tracks, small_stft, snr):
    return SpectrumBank.of(scenes(small_tracks, Mixing(snr)), small_stft, FRAMES, "cpu")


def test_a_mixtures_magnitudes_are_those_of_the_mixed_sound(bank, small_tracks, small_stft, snr):
    for number, track in enumerate(small_tracks):
        sounds = mix(track.sources["voice"], track.sources["accompaniment"], snr)
        frames = 1 + sounds[0].shape[1] // small_stft.hop
        whole = np.array([[number, 0]])
        batch = bank.batch([whole, whole], int(bank.lengths[number]))
        for found, sound in zip(batch, sounds, strict=True):
            wanted = small_stft.forward(torch.from_numpy(sound))[0].abs().T
            assert found.shape == (1, bank.lengths[number], small_stft.bins)
            assert torch.allclose(found[0, :frames], wanted, atol=1e-5)
            assert not found[0, frames:].any(), "silence follows a short clip"


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("window", "hop"), [(256, 64), (250, 99), (64, 48), (64, 64)])
def test_sound_transformed_on_demand_gives_the_same_chunks(small_tracks, window, hop, scale):
    stft = STFT(8000, window, hop, "hamming")
    spectra, sound = (
        kind.of(scenes(small_tracks, Mixing()), stft, 7, "cpu", scale)
        for kind in (SpectrumBank, CompactBank)
    )
    assert sound.lengths.tolist() == spectra.lengths.tolist()
    for size in (1, 7):
        chunks = spectra.chunks(size)
        gains = np.linspace(0.5, 2.0, 2 * len(chunks)).reshape(2, -1)
        for one, other in zip(
            spectra.batch([chunks, chunks[::-1]], size, gains),
            sound.batch([chunks, chunks[::-1]], size, gains),
            strict=True,
        ):
            assert one.shape == other.shape
            assert torch.allclose(one, other, atol=1e-5 * float(one.max()))


def test_silence_follows_a_short_clips_end_as_sound_too(small_tracks, small_stft):
    track = min(small_tracks, key=lambda track: track.sources["voice"].shape[1])
    bank = CompactBank.of(scenes([track], Mixing()), small_stft, 1000, "cpu")
    (mixture, *_) = bank.batch([np.array([[0, 0]])] * 2, 1000)
    heard = 1 + (track.sources["voice"].shape[1] + small_stft.window // 2) // small_stft.hop
    assert mixture.shape == (1, 1000, small_stft.bins)
    assert mixture[0, :heard].any()
    assert not mixture[0, heard:].any()


def test_whole_songs_take_a_quarter_of_the_memory_as_sound(small_tracks, small_stft):
    spectra, sound = (
        sum(
            each.nbytes
            for each in kind.of(scenes(small_tracks, Mixing()), small_stft, 1, "cpu").sounds
        )
        for kind in (SpectrumBank, CompactBank)
    )
    quarter = small_stft.hop / (2 * small_stft.bins)
    assert quarter < sound / spectra < 1.2 * quarter


def test_short_clips_are_filled_up_and_long_ones_left(bank, small_tracks, small_stft):
    frames = [1 + track.sources["voice"].shape[1] // small_stft.hop for track in small_tracks]
    assert min(frames) < FRAMES < max(frames)
    assert bank.lengths.tolist() == [max(count, FRAMES) for count in frames]
    assert bank.starts.tolist() == [sum(bank.lengths[:i]) for i in range(len(frames))]
    assert len(bank.sounds[0][0]) == sum(bank.lengths)


def test_clips_of_one_song_are_known_as_such(bank, small_tracks):
    songs = [track.clip.song for track in small_tracks]
    for i, one in enumerate(songs):
        for j, other in enumerate(songs):
            assert (bank.songs[i] == bank.songs[j]) == (one == other)


@pytest.mark.parametrize("frames", [1, 7, FRAMES])
def test_chunks_cover_every_frame_of_every_clip_and_no_more(bank, frames):
    chunks = bank.chunks(frames)
    for clip, length in enumerate(bank.lengths):
        offsets = chunks[chunks[:, 0] == clip, 1]
        heard = np.zeros(length, int)
        for offset in offsets:
            assert 0 <= offset <= length - frames
            heard[offset : offset + frames] += 1
        assert (heard >= 1).all()
        assert len(offsets) == -(-length // frames), "no more than are needed"


def test_a_pairing_is_of_another_song_or_the_original(bank):
    chunks, rng = bank.chunks(FRAMES), np.random.default_rng(0)
    rounds, kept, met = 400, 0, set()
    for _ in range(rounds):
        first, others = repaired(bank, chunks, FRAMES, rng)
        assert first is chunks
        same = (others == chunks).all(1)
        clips = others[:, 0]
        assert (bank.songs[clips] != bank.songs[chunks[:, 0]])[~same].all()
        assert (others[:, 1] >= 0).all()
        assert (others[:, 1] + FRAMES <= bank.lengths[clips]).all()
        kept += same.sum()
        met |= set(zip(chunks[:, 0].tolist(), clips.tolist(), strict=True))
    count = rounds * len(chunks)
    assert KEEP == 1 / 11, "the original is one of eleven"
    assert kept / count == pytest.approx(KEEP, abs=4 * np.sqrt(KEEP * (1 - KEEP) / count))
    for clip in range(len(bank.songs)):
        allowed = {
            other for other in range(len(bank.songs)) if bank.songs[other] != bank.songs[clip]
        }
        assert {other for voice, other in met if voice == clip} == allowed | {clip}


def test_one_song_alone_stays_as_it_is(small_tracks, small_stft):
    alone = SpectrumBank.of(scenes(small_tracks[:2], Mixing()), small_stft, FRAMES, "cpu")
    chunks = alone.chunks(FRAMES)
    for seed in range(20):
        for places in repaired(alone, chunks, FRAMES, np.random.default_rng(seed)):
            assert np.array_equal(places, chunks)


def examples(bank, **changes):
    given = {"augment": True, "seed": 1, "number": 0} | changes
    return [torch.cat(parts) for parts in zip(*epoch(bank, FRAMES, 2, **given), strict=True)]


def ordered(rows):
    return sorted(rows.sum((1, 2)).tolist())


def test_an_epoch_depends_on_seed_and_number_alone(bank):
    first = examples(bank)
    np.random.default_rng(0).random(100)
    for one, again in zip(first, examples(bank), strict=True):
        assert torch.equal(one, again)
    for other in ({"seed": 2}, {"number": 1}):
        assert not torch.equal(first[1], examples(bank, **other)[1]), "another order"
        assert ordered(first[2]) != ordered(examples(bank, **other)[2]), "other pairings"


def test_an_epoch_sings_every_voice_chunk_once_in_any_pairing(bank):
    chunks = bank.chunks(FRAMES)
    wanted = bank.batch([chunks, chunks], FRAMES)
    mixture, voice, other = examples(bank, augment=False)
    for found, expected in zip((mixture, voice, other), wanted, strict=True):
        assert ordered(found) == pytest.approx(ordered(expected), rel=1e-6)
    assert ordered(examples(bank)[1]) == pytest.approx(ordered(wanted[1]), rel=1e-6)
    assert ordered(examples(bank)[2]) != pytest.approx(ordered(wanted[2]), rel=1e-6)


def test_validation_sees_every_chunk_in_order(bank):
    chunks = bank.chunks(FRAMES)
    wanted = bank.batch([chunks, chunks], FRAMES)
    found = [torch.cat(parts) for parts in zip(*in_order(bank, FRAMES, 3), strict=True)]
    for one, expected in zip(found, wanted, strict=True):
        assert torch.equal(one, expected)


def test_a_part_without_clips_is_refused(small_stft):
    with pytest.raises(DatasetError, match="a part without clips"):
        SpectrumBank.of([], small_stft, FRAMES, "cpu")
