"""The stand-in for TRIOS and solo recordings: honest about its parts, and music."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from aids import apart, turns
from unmix import audio
from unmix.datasets import catalogue, rendering, soloing, soloists, soundfont, synthetic_trios
from unmix.datasets.soloists import INSTRUMENTS, RATE
from unmix.datasets.synthetic_trios import (
    PIECES,
    SHORT,
    TRIOS,
    VARIABLE,
    SyntheticTrios,
    write_piece,
)
from unmix.datasets.track import PARTS
from unmix.errors import DatasetError
from unmix.runs import source

TINY = {"train": 6, "valid": 2, "test": 3}
WINDS = ("bassoon", "clarinet", "horn", "saxophone", "trumpet")
ALL = dict.fromkeys(PARTS, 1000)

MINUTES = {  # of the paper's Table 1, in hours there
    **{"bassoon": 1.44, "cello": 1.88, "clarinet": 1.15, "horn": 0.82, "piano": 6.12},
    **{"saxophone": 1.16, "trumpet": 0.38, "viola": 1.61, "violin": 5.60},
}


@pytest.fixture(autouse=True, scope="module")
def no_further_fonts():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        yield


@pytest.fixture(scope="module")
def dataset(standin_cache, no_further_fonts):
    return SyntheticTrios(TINY, standin_cache)


@pytest.fixture(scope="module")
def tracks(dataset):
    return {clip.name: dataset.load(clip.name, RATE) for clip in dataset.clips()}


@pytest.fixture(scope="module")
def whole(no_further_fonts):
    """All of it, on paper."""
    return SyntheticTrios(ALL)


@pytest.fixture(scope="module")
def richer(no_further_fonts):
    """All of it with three further SoundFonts, whose recordings are training too."""
    return SyntheticTrios(ALL, fonts=[font_path()] * 3)


def performances(dataset, *parts):
    found = [dataset.found(clip.name)[1] for clip in dataset.clips()]
    return [each for each in found if each.part in (parts or PARTS)]


def font_path():
    (folder,) = (os.path.dirname(soundfont.importlib.util.find_spec("pretty_midi").origin),)
    return os.path.join(folder, soundfont.FONT_NAME)


def font_with(path, *programs):
    """A SoundFont with these programs alone in bank 0."""
    with open(font_path(), "rb") as opened:
        content = bytearray(opened.read())
    at = content.index(b"phdr") + 8
    for row in range(at, at + int.from_bytes(content[at - 4 : at], "little"), 38):
        if int.from_bytes(content[row + 20 : row + 22], "little") not in programs:
            content[row + 22 : row + 24] = b"\x05\x00"
    path.write_bytes(content)
    return path


# The contract.


def test_solo_recordings_have_one_source_and_pieces_three(dataset, tracks):
    assert dataset.fidelity == "stand-in"
    for name, track in tracks.items():
        assert (track.clip.name, track.clip.song, track.rate) == (name, name, RATE)
        trio = TRIOS.get(name.partition("_")[0])
        assert tuple(track.sources) == (trio or (name.partition("/")[0],))
        assert set(track.sources) <= set(dataset.source_names)
        for sound in (*track.sources.values(), sum(track.sources.values())):
            assert (sound.shape, sound.dtype) == ((1, round(SHORT * RATE)), np.float32)
            assert np.isfinite(sound).all()
            assert 0.1 < np.abs(sound).max() < 0.99
            assert abs(sound.mean()) < 1e-3


@pytest.mark.parametrize("clips", [(6, 2, 3), (60, 12, 24), None, (1, 1, 1)])
def test_every_instrument_of_a_split_is_trained_and_validated(clips, standin_cache):
    dataset = catalogue.open_dataset("synthetic-trios", None, clips)
    for name, trio in TRIOS.items():
        split = dataset.split(name)
        for part in ("train", "valid"):
            assert {clip.partition("/")[0] for clip in split[part]} == set(trio)
            wanted = dict(zip(PARTS, clips or (60, 12, 24), strict=True))[part]
            held = {"train": sum(len(INSTRUMENTS[each].train) for each in trio), "valid": 6}[part]
            assert len(split[part]) == min(max(wanted, 3), held)
        assert split["test"] == tuple(
            f"{name}_{n}" for n in range(min(PIECES, (clips or (9,))[-1]))
        )
        known = {clip.name for clip in dataset.clips()}
        assert known >= {each for names in split.values() for each in names}
    assert {clip.name.partition("/")[0] for clip in dataset.clips()} >= set(INSTRUMENTS)


def test_counts_only_add_clips(whole, dataset):
    for name in TRIOS:
        for part in PARTS:
            fewer = dataset.split(name)[part]
            assert whole.split(name)[part][: len(fewer)] == fewer
    assert SyntheticTrios({}).clips() == []
    assert [clip.name.partition("_")[0] for clip in SyntheticTrios({"test": 1}).clips()] == [*TRIOS]


def test_material_follows_the_papers_table(whole):
    """Ten minutes for each hour."""
    minutes = dict.fromkeys(INSTRUMENTS, 0.0)
    for each in performances(whole, "train"):
        minutes[each.players[0].instrument] += each.sheet.seconds / 600
    for name, wanted in MINUTES.items():
        assert minutes[name] == pytest.approx(wanted, rel=0.25 if name != "trumpet" else 1.2), name
    assert min(minutes, key=minutes.get) == "trumpet"
    assert 18 < sum(minutes.values()) < 23


def test_unknown_names_are_refused(dataset):
    message = (
        r"unknown split 'brams' \(did you mean 'brahms'\?\)\. Expected: one of brahms, lussier"
    )
    with pytest.raises(DatasetError, match=message + r"\."):
        dataset.split("brams")
    with pytest.raises(DatasetError, match="unknown clip 'brahms_9'"):
        dataset.load("brahms_9", RATE)


# The same everywhere.


def test_another_order_and_cache_give_the_same_bits(dataset, tracks, tmp_path):
    again = SyntheticTrios(TINY, tmp_path)
    split = again.split("lussier")
    for name in (split["test"][2], split["train"][4], split["valid"][0]):
        track = again.load(name, RATE)
        for source_name, sound in track.sources.items():
            assert np.array_equal(sound, tracks[name].sources[source_name])


def test_another_process_gives_the_same_bits(dataset, tracks, tmp_path):
    code = (
        "import hashlib; from unmix.datasets.synthetic_trios import SyntheticTrios\n"
        f"d = SyntheticTrios({TINY}); s = d.load('brahms_1', {RATE}).sources\n"
        "print(*(hashlib.sha256(each.tobytes()).hexdigest() for each in s.values()))\n"
        "print(d.fingerprint())"
    )
    run, where = [sys.executable, "-c", code], {**os.environ, "UNMIX_CACHE": str(tmp_path)}
    said = subprocess.run(run, capture_output=True, text=True, check=True, env=where).stdout
    here = tracks["brahms_1"].sources.values()
    assert said.split() == [
        *(hashlib.sha256(sound.tobytes()).hexdigest() for sound in here),
        dataset.fingerprint(),
    ]


def test_what_is_cached_is_not_rendered_again(dataset, tracks, monkeypatch):
    monkeypatch.setattr(SyntheticTrios, "render", lambda *_: pytest.fail("rendered again"))
    for name in tracks:
        SyntheticTrios(TINY, dataset.cache).load(name, RATE)


def test_short_clips_are_the_beginnings_and_are_kept_apart(dataset, whole, standin_cache):
    for short in performances(dataset):
        full = whole.found(short.clip)[1]
        assert full.name != short.name
        assert full.players == short.players
        for name, notes in short.sheet.notes.items():
            assert notes
            assert len(full.sheet.notes[name]) > len(notes)
            for one, other in zip(notes, full.sheet.notes[name], strict=False):
                assert (one.start, one.key, one.velocity) == (
                    other.start,
                    other.key,
                    other.velocity,
                )
                assert one.start + one.seconds <= SHORT + 1e-9


def test_other_rates_hold_the_same_sound(dataset, tracks):
    lower = dataset.load("brahms_0", 16000)
    for name, sound in lower.sources.items():
        assert sound.shape == (1, round(SHORT * 16000))
        brought = audio.resample(tracks["brahms_0"].sources[name], RATE, 16000)
        assert np.array_equal(sound, brought)


def test_what_renders_is_hashed(monkeypatch):
    hashed, real = [], rendering.source_hash
    synthetic_trios.sys.modules["unmix.datasets.standin"].recipe.cache_clear()
    monkeypatch.setattr(
        rendering, "source_hash", lambda *modules: hashed.extend(modules) or real(*modules)
    )
    SyntheticTrios({}).fingerprint()
    names = {module.__name__ for module in hashed}
    counted = set(source.producing_modules([SyntheticTrios.__module__]))
    assert names <= counted
    # Beside what lies between a file and a clip, all that this dataset imports of the datasets.
    assert {n for n in counted if n.startswith("unmix.datasets.")} - names == {
        "unmix.datasets.track"
    }


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, unmix.datasets.synthetic_trios\n"
        "heavy = {'scipy', 'soundfile', 'soxr', 'pretty_midi', 'torch', 'librosa', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"


# Parts share nothing.


def sequences(sheet, instrument, length=10):
    """All so many successive notes of a part, as intervals and proportions of time between them."""
    notes = sheet.notes[instrument]
    keys = np.diff([note.key for note in notes])
    # Twelfths of a beat, which undo what players are late; the tempo does not count.
    gaps = np.round(12 * np.diff([note.start for note in notes]) / sheet.frame.beat).astype(int)
    found = set()
    for at in range(len(notes) - length + 1):
        window = slice(at, at + length - 1)
        unit = max(1, np.gcd.reduce(gaps[window]))
        found.add((tuple(keys[window]), tuple(gaps[window] // unit)))
    return found


def by_part(dataset, instrument):
    found = {part: set() for part in PARTS}
    for each in performances(dataset):
        if instrument in each.sheet.notes:
            found[each.part] |= sequences(each.sheet, instrument)
    return found


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_no_ten_notes_of_a_part_are_those_of_another(instrument, whole, richer):
    found = by_part(richer, instrument)
    assert found["train"] > by_part(whole, instrument)["train"]
    assert all(found[part] for part in ("train", "valid"))
    assert bool(found["test"]) == any(instrument in trio for trio in TRIOS.values())
    apart(*found.values())


def test_shared_notes_would_be_found_in_another_key_and_tempo(whole):
    sheet = whole.found("piano/train1")[1].sheet
    notes = tuple(
        replace(note, start=1.5 * note.start, key=note.key + 5) for note in sheet.notes["piano"]
    )
    frame = replace(sheet.frame, beat=0.75 * sheet.frame.beat)
    moved = sequences(replace(sheet, notes={"piano": notes[40:140]}, frame=frame), "piano")
    # Here and there the players' own timing, twice as large now, comes to a twelfth of a beat.
    assert len(moved & sequences(sheet, "piano")) > 0.7 * len(moved) > 50


def test_no_player_of_a_part_plays_in_another(whole, richer):
    for what in (
        lambda player: player.name,
        lambda player: replace(player, name="", level=0.0),
        lambda player: (player.instrument, player.tuning),
        lambda player: (player.instrument, player.body),
        lambda player: (player.reverberation, player.wet),
    ):
        found = {
            part: {what(p) for each in performances(richer, part) for p in each.players}
            for part in PARTS
        }
        apart(*found.values())
    # Nor in two pieces, nor in two training recordings.
    for part in ("train", "test"):
        names = [p.name for each in performances(whole, part) for p in each.players]
        assert len(set(names)) == len(names)
    for name in INSTRUMENTS:
        assert 40 <= sum(f"{name}/" in clip for clip in named(whole, "train")) <= 60


def named(dataset, part):
    return [each.clip for each in performances(dataset, part)]


def test_parts_share_no_key_or_harmony(whole):
    for what in (
        lambda frame: (frame.tonic, frame.scale),
        lambda frame: turns(frame.progression),
    ):
        apart(*({what(each.sheet.frame) for each in performances(whole, p)} for p in PARTS))
    assert sum(len(keys) for keys in soloing.KEYS.values()) == 24


# It is music.


def sounding(notes, time):
    return [note for note in notes if note.start <= time < note.start + note.seconds]


def test_instruments_play_what_they_can(whole):
    doubled = dict.fromkeys(INSTRUMENTS, 0)
    for each in performances(whole):
        frame = each.sheet.frame
        scale = {(frame.tonic + step) % 12 for step in frame.scale}
        for name, notes in each.sheet.notes.items():
            voice = INSTRUMENTS[name].voice
            assert all(voice.low <= note.key <= voice.high for note in notes), each.clip
            assert {note.key % 12 for note in notes} <= scale
            assert all(note.start + note.seconds <= each.sheet.seconds + 1e-9 for note in notes)
            doubled[name] += sum(b.start - a.start < 0.02 for a, b in pairwise(notes))
            if name in WINDS:
                assert all(a.start + a.seconds < b.start + 0.05 for a, b in pairwise(notes))
                rests = [b.start - a.start - a.seconds for a, b in pairwise(notes)]
                assert max(rests) > 0.4 * frame.beat, "somebody must breathe"
    assert {name for name, count in doubled.items() if count == 0} == set(WINDS)
    assert doubled["piano"] > 100


def test_recordings_differ(whole):
    frames = [each.sheet.frame for each in performances(whole, "train")]
    tempi = [60 / frame.beat for frame in frames]
    assert min(tempi) < 80 < 115 < max(tempi)
    assert {frame.meter for frame in frames} == {3, 4}
    assert len({(frame.tonic, frame.scale) for frame in frames}) > 8


def test_trios_play_together_and_agree(whole):
    for each in performances(whole, "test"):
        sheet = each.sheet
        assert 20 <= sheet.seconds <= 40
        assert all(notes[0].start < 3.0 for notes in sheet.notes.values())
        times = np.arange(0.5, sheet.seconds - 0.5, 0.1)
        active = [[bool(sounding(notes, time)) for notes in sheet.notes.values()] for time in times]
        assert np.mean(np.all(active, axis=1)) > 0.4
        rests = 1 - np.mean(active, axis=0)
        assert rests.max() > 0.03, "not all play all the time"
        in_chord = [
            note.key % 12 in sheet.frame.chord((time + 0.03) / sheet.frame.beat)
            for time in times
            for notes in sheet.notes.values()
            for note in sounding(notes, time)
        ]
        assert np.mean(in_chord) > 0.7


def test_members_of_a_trio_are_about_as_loud(tracks):
    for name in ("brahms_0", "brahms_1", "brahms_2", "lussier_0", "lussier_1", "lussier_2"):
        sounds = [sound for sound in tracks[name].sources.values()]
        mixture = sum(sounds)
        for sound in sounds:
            snr = 20 * np.log10(audio.rms(sound) / audio.rms(mixture - sound))
            assert -8.0 < snr < 1.0
        levels = 20 * np.log10([audio.rms(sound) for sound in sounds])
        assert np.ptp(levels) <= 4.0


# It sounds.


def pitch(sound, key):
    """Semitones by which a tone is off its key: the peak within a semitone and a half of it."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 20)) ** 2
    off = 12 * np.log2(np.arange(1, len(power)) * RATE / (1 << 20) / 440.0) + 69 - key
    near = np.where(np.abs(off) < 1.5, power[1:], 0.0)
    assert near.max() > 0.01 * power.max()
    return off[np.argmax(near)]


@pytest.mark.parametrize("borrowed", [-3, 0, 3])
def test_players_are_as_far_off_as_told_whatever_they_borrow(borrowed):
    player = soloists.draw_player("train", "clarinet", 0, 0)
    player = replace(player, borrowed=borrowed, tuning=0.3, stretch=0.1, body=(0.0,) * 7)
    font, rng = soundfont.general_midi(), np.random.default_rng(0)
    for key, off in ((60, 0.3), (72, 0.4), (78, 0.45)):
        sound = soloists.play(font, player, [rendering.Note(0.0, 2.0, key)], 2.0, rng)
        # The font itself is a few cents off.
        assert pitch(sound[8000:56000], key) == pytest.approx(off, abs=0.08)


def test_a_piano_is_stretched_by_octaves():
    player = soloists.draw_player("train", "piano", 0, 0)
    player = replace(player, borrowed=2, tuning=-0.2, stretch=0.1, body=(0.0,) * 7)
    font, rng = soundfont.general_midi(), np.random.default_rng(0)
    for key, off in ((48, -0.3), (60, -0.2), (72, -0.1)):
        sound = soloists.play(font, player, [rendering.Note(0.0, 2.0, key)], 2.0, rng)
        assert pitch(sound[3200:32000], key) == pytest.approx(off, abs=0.08)


def test_a_vibrato_swings_by_its_depth():
    player = soloists.draw_player("train", "clarinet", 0, 0)
    player = replace(player, tuning=0.0, stretch=0.0, vibrato=(5.0, 0.5))
    font = soundfont.general_midi()
    note = rendering.Note(0.0, 1.5, 69)
    sound = soloists._tone(font, player, note, 0.0)
    swung = [
        pitch(sound[round((middle - 0.04) * RATE) :][: round(0.08 * RATE)], 69)
        for middle in (0.85, 0.95)  # of the fifth period, up and down
    ]
    assert swung[0] == pytest.approx(0.4, abs=0.15)
    assert swung[1] == pytest.approx(-0.4, abs=0.15)


def test_a_body_raises_what_it_is_told_to():
    time = np.arange(RATE) / RATE
    for frequency, gain in zip(soloists._CENTRES, (3, -2, 1, 0, -4, 5, -6), strict=True):
        sine = np.sin(2 * np.pi * frequency * time).astype(np.float32)
        found = soloists._bodied(sine, (3, -2, 1, 0, -4, 5, -6))[4000:-4000]
        level = 20 * np.log10(audio.rms(found) / audio.rms(sine))
        assert level == pytest.approx(gain, abs=1.0)


def test_all_players_sound_at_every_key(whole):
    font = soundfont.general_midi()
    for player in {p for each in performances(whole) for p in each.players}:
        voice = INSTRUMENTS[player.instrument].voice
        for key in range(voice.low, voice.high + 1):
            for velocity in (20, 64, 127):
                source_key = soloists._from(font, player, rendering.Note(0.0, 1.0, key, velocity))
                zones = font.zones(player.program)
                assert any(zone.plays(source_key, velocity) for zone in zones), (player.name, key)
                assert abs(source_key - key) <= abs(player.borrowed) + 2


def test_players_of_an_instrument_sound_different():
    font, notes = soundfont.general_midi(), [rendering.Note(0.0, 1.0, 62)]
    for name in INSTRUMENTS:
        spectra = []
        for number in range(4):
            player = soloists.draw_player("train", name, number, 0)
            sound = soloists.play(font, player, notes, 1.0, np.random.default_rng(0))
            power = np.abs(np.fft.rfft(sound)) ** 2
            bands = np.add.reduceat(power, 125 * 2 ** np.arange(7))
            spectra.append(10 * np.log10(bands / bands.sum()))
        for one in range(4):
            for other in range(one):
                assert np.abs(spectra[one] - spectra[other]).max() > 1.0


# Further SoundFonts.


def test_a_further_font_is_another_player_of_what_it_has(dataset, tmp_path, monkeypatch):
    piano, horn = font_with(tmp_path / "a.sf2", 0), font_with(tmp_path / "b.sf2", 0, 60)
    monkeypatch.setenv(VARIABLE, os.pathsep.join((str(piano), str(horn))))
    counts = {**TINY, "train": 1000}
    more, before = SyntheticTrios(counts, tmp_path), SyntheticTrios(counts, tmp_path, fonts=[])
    added = set(named(more, "train")) - set(named(before, "train"))
    assert {name.partition("/")[0] for name in added} == {"piano", "horn"}
    assert len(added) == 2 * len(INSTRUMENTS["piano"].train) + len(INSTRUMENTS["horn"].train)
    fonts = {
        name: [more.found(f"{name}/train{number}")[1].players[0].font for number in range(1, 7)]
        for name in ("piano", "horn", "violin")
    }
    assert fonts == {"piano": [0, 1, 2] * 2, "horn": [0, 2] * 3, "violin": [0] * 6}
    assert all(more.split(name)["test"] == before.split(name)["test"] for name in TRIOS)
    prints = {more.fingerprint(), before.fingerprint(), dataset.fingerprint()}
    assert len(prints) == 3
    assert SyntheticTrios(counts, tmp_path, fonts=[horn, piano]).fingerprint() not in prints
    sound = more.load("horn/train2", RATE).sources["horn"]
    assert audio.rms(sound) > 0.01
    assert not (more.cache / more.name / before.recipe()[:16]).exists()


def test_it_plays_what_the_font_holds(tmp_path):
    """A font with the clarinet's program where the horn's should be."""
    path = font_with(tmp_path / "a.sf2", 71)
    content = bytearray(path.read_bytes())
    at = content.index(b"phdr") + 8
    (row,) = (
        row
        for row in range(at, at + 38 * 400, 38)
        if content[row + 20 : row + 24] == b"\x47\x00\x00\x00"
    )
    content[row + 20] = 60
    path.write_bytes(content)
    dataset = SyntheticTrios({"train": 60}, tmp_path, fonts=[path])
    _, song = dataset.found("horn/train2")
    font = soundfont.general_midi()
    as_clarinet = replace(song.players[0], program=71, font=0)
    rendered = synthetic_trios.render(replace(song, players=(as_clarinet,)), (font,))
    found = dataset.load("horn/train2", RATE).sources["horn"]
    assert found == pytest.approx(rendered, abs=1e-4)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", r"a\.sf2: cannot be read as a SoundFont \(No such file"),
        ("cut", r"a\.sf2: cannot be read as a SoundFont \(no SoundFont, or a damaged one"),
        ("text", r"a\.sf2: cannot be read as a SoundFont \(no SoundFont, or a damaged one"),
        ("folder", r"a\.sf2: cannot be read as a SoundFont \(no SoundFont, or a damaged one"),
        ("others", r"a\.sf2: a SoundFont without any of the instruments.*bassoon, cello"),
    ],
)
def test_a_font_that_cannot_be_used_says_so(case, message, tmp_path):
    path = tmp_path / "a.sf2"
    if case == "cut":
        content = font_with(path, 0).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif case == "text":
        path.write_text("a, b, c")
    elif case == "folder":
        path.mkdir()
    elif case == "others":
        font_with(path, 13)
    with pytest.raises(DatasetError, match=rf"{message}.*What to do: correct {VARIABLE}"):
        SyntheticTrios(TINY, fonts=[path])


def test_a_piece_is_the_same_each_time_it_is_written():
    first = write_piece("brahms", 0, False)
    write_piece.cache_clear()
    again = write_piece("brahms", 0, False)
    assert again is not first
    assert again.sheet == first.sheet
    assert again == first
