"""Solo recordings: names, counts, lengths, what validates, what cannot be used."""

import re

import numpy as np
import pytest
import soundfile

from unmix.datasets import solos
from unmix.datasets.solos import SHORTEST, Recording, Solos, held_out
from unmix.datasets.solos_files import INSTRUMENTS, instrument_of
from unmix.errors import AudioError, DatasetError
from unmix.papers.published import cells
from unmix.report.material import lines

RATE = 4000


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(root, name, seconds=1.0, rate=RATE, pitch=440.0, channels=1, sound=None):
    """Write a sine below `root/solos`; the ending decides the format."""
    path = root / "solos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if sound is None:
        sound = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
        sound = np.repeat(sound[:, None], channels, axis=1)
    soundfile.write(path, sound, rate)
    return path


@pytest.fixture
def root(tmp_path):
    """Two pieces by RICHTER, one by ARRAU and one by nobody known, and two horns."""
    write(tmp_path, "piano/RICHTER/one.flac", 2.0)
    write(tmp_path, "piano/RICHTER/CD 2/two.wav", 3.0)
    write(tmp_path, "piano/ARRAU/three.wav", 1.0)
    write(tmp_path, "piano/four.ogg", 1.5)
    write(tmp_path, "Horn/a.WAV", 0.5, rate=8000)
    write(tmp_path, "Horn/b.aiff", 0.25)
    return tmp_path


def pitch_of(sound, rate):
    return np.argmax(np.abs(np.fft.rfft(sound[0]))) * rate / sound.shape[1]


# --- names


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_instruments_in_any_case_and_in_the_plural(name):
    assert {instrument_of(each) for each in (name, name.upper(), f"{name}s")} == {name}


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("French Horn", "horn"),
        ("french_horns", "horn"),
        ("Sax", "saxophone"),
        ("saxes", "saxophone"),
        ("Tenor-Sax", "saxophone"),
        ("Piano forte", "piano"),
        ("violoncello", "cello"),
        ("Celli", "cello"),
        ("English horn", ""),
        ("flute", ""),
        ("violino", ""),
        ("s", ""),
    ],
)
def test_other_names_of_instruments(name, instrument):
    assert instrument_of(name) == instrument


def test_the_instruments_are_those_of_table_1_in_its_order():
    printed = dict.fromkeys(cell.keys["instrument"] for cell in cells("uhlich", "table1"))
    assert [name.capitalize() for name in INSTRUMENTS] == list(printed)


# --- what is there


def test_layout_gives_clips_players_and_songs(root):
    clips = {clip.name: clip for clip in Solos(root).clips()}
    assert list(clips) == [
        "horn/a",
        "horn/b",
        "piano/ARRAU/three",
        "piano/RICHTER/CD 2/two",
        "piano/RICHTER/one",
        "piano/four",
    ]
    players = [clip.artist for clip in clips.values()]
    assert players == ["", "", "ARRAU", "RICHTER", "RICHTER", ""]
    assert all(clip.song == name for name, clip in clips.items())


def test_material_counts_and_measures_in_the_form_of_table_1(root):
    found = Solos(root).material()
    assert list(found) == list(INSTRUMENTS)
    assert (len(found["piano"]), sum(found["piano"])) == (4, pytest.approx(7.5))
    assert (sum(found["horn"]), found["viola"]) == (pytest.approx(0.75), [])
    head, *body = lines("uhlich", "table1", found)
    assert head == ("instrument", "files", "hours", "seconds", "files (paper)", "hours (paper)")
    by_name = {line[0]: line[1:] for line in body}
    assert list(by_name) == [name.capitalize() for name in INSTRUMENTS]
    assert by_name["Piano"] == ("4", "0.00", "7.5", "89", "6.12")
    assert by_name["Viola"] == ("0", "0.00", "0.0", "13", "1.61")
    longer = lines("uhlich", "table1", {"piano": [3600.0, 1800.0]})
    assert [*longer][1] == ("Piano", "2", "1.50", "5400.0", "89", "6.12")


def test_folders_under_other_names_are_read_and_strange_ones_ignored_with_a_line(root):
    write(root, "French Horns/c.wav")
    write(root, "kazoo/d.wav")
    (root / "solos" / "piano" / "._four.ogg").write_bytes(b"")
    found = Solos(root)
    assert [each.name for each in found.of("horn")] == ["horn/a", "horn/b", "horn/c"]
    assert "French Horns is read as horn." in found.notes
    assert any(
        re.match("kazoo is ignored: it names none of bassoon, ", each) for each in found.notes
    )
    assert not any(each.startswith("Horn ") for each in found.notes)
    assert len(found.of("piano")) == 4
    assert not found.broken


def test_a_recording_kept_in_two_formats_is_used_once(root):
    write(root, "piano/four.wav", 1.25)
    found = Solos(root)
    assert found.recordings["piano/four"].path.suffix == ".wav"
    assert any(
        "piano/four.ogg is ignored: it bears the name of piano/four.wav" in each
        for each in found.notes
    )


def test_sound_that_is_not_read_is_named(root):
    (root / "solos" / "piano" / "five.m4a").write_bytes(b"sound")
    write(root, "loose.wav")
    notes = " ".join(Solos(root).notes)
    assert "1 .m4a. Convert them to FLAC" in notes
    assert "1 files in no instrument's folder are ignored (loose.wav)" in notes


def test_a_player_whose_folder_is_a_link_is_found(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk")
    write(elsewhere, "x.wav").rename(elsewhere / "x.wav")
    (root / "solos" / "piano" / "GOULD").symlink_to(elsewhere, target_is_directory=True)
    assert Solos(root).recordings["piano/GOULD/x"].player == "GOULD"


# --- sound


def test_load_gives_the_whole_recording_under_its_instrument(root):
    track = Solos(root).load("piano/RICHTER/one", RATE)
    assert list(track.sources) == ["piano"]
    assert track.sources["piano"].shape == (1, 2 * RATE)
    assert track.sources["piano"].dtype == np.float32
    assert track.clip.artist == "RICHTER"


def test_files_of_different_rates_are_each_resampled_and_this_is_said(root):
    found = Solos(root)
    for name in ("horn/a", "horn/b"):
        sound = found.load(name, 16000).sources["horn"]
        assert sound.shape == (1, round(16000 * found.recordings[name].seconds))
        assert pitch_of(sound, 16000) == pytest.approx(440.0, abs=4.0)
    assert (
        "Sampling rates differ: 4000 Hz (5 files), 8000 Hz (1 files). "
        "Each file is resampled by itself." in found.notes
    )
    assert any(
        each.startswith("6 files are sampled below the paper's 32000 Hz") for each in found.notes
    )


def test_equal_rates_of_the_paper_need_no_words(tmp_path):
    write(tmp_path, "horn/a.flac", rate=48000)
    assert Solos(tmp_path).notes == ()


def test_mono_is_the_mean_of_the_channels(tmp_path):
    left, right = 0.2 * np.ones(RATE), 0.6 * np.ones(RATE)
    write(tmp_path, "viola/a.wav", sound=np.stack([left, right], axis=1))
    sound = Solos(tmp_path).load("viola/a", RATE).sources["viola"]
    np.testing.assert_allclose(sound, np.full((1, RATE), 0.4), atol=1e-4)


# --- what validates


def recordings(*those):
    """Make recordings of one instrument from pairs of player and seconds."""
    return [
        Recording(f"piano/{number:03d}", "piano", player, None, RATE, seconds)
        for number, (player, seconds) in enumerate(those)
    ]


def share(material):
    """Return the share of the seconds that is held out, the players held out, and the others."""
    valid = set(held_out(material))
    whole = sum(each.seconds for each in material)
    players = [{e.player for e in material if (e.name in valid) is held} for held in (True, False)]
    return sum(e.seconds for e in material if e.name in valid) / whole, *players


@pytest.mark.parametrize("instrument", ["horn", "piano"])
def test_splits_share_no_recording_and_cover_all(root, instrument):
    found = Solos(root)
    parts = found.parts([instrument])
    assert not set(parts["train"]) & set(parts["valid"])
    assert {*parts["train"], *parts["valid"]} == {each.name for each in found.of(instrument)}
    assert all(parts.values())


def test_about_a_tenth_validates():
    held, *_ = share(recordings(*[("", 60.0 + number) for number in range(50)]))
    assert 0.07 < held <= 0.1


def test_players_are_kept_apart_where_there_are_enough():
    material = recordings(*[(f"P{number % 12}", 30.0 + number) for number in range(60)])
    held, valid, train = share(material)
    assert 0.05 < held <= 0.1
    assert valid
    assert not valid & train


def test_the_shortest_player_validates_where_none_fits_into_a_tenth():
    held, valid, train = share(recordings(("A", 50), ("B", 30), ("C", 20), ("C", 1)))
    assert (held, valid, train) == (pytest.approx(21 / 101), {"C"}, {"A", "B"})


def test_two_players_are_kept_apart_even_at_the_cost_of_half_of_the_material():
    held, valid, train = share(recordings(*[("A", 10.0)] * 10, *[("B", 10.0)] * 10))
    assert held == pytest.approx(0.5)
    assert (len(valid), len(train)) == (1, 1)
    assert valid != train


def test_one_player_alone_validates_with_another_recording():
    held, valid, train = share(recordings(("A", 9.0), ("A", 1.0)))
    assert (held, valid, train) == (pytest.approx(0.1), {"A"}, {"A"})


@pytest.mark.parametrize("player", ["", "A"])
def test_two_recordings_give_one_and_one_recording_gives_none(player):
    assert held_out(recordings((player, 5.0), ("", 6.0))) == ["piano/000"]
    assert held_out(recordings((player, 5.0))) == []


def test_the_draw_repeats_and_follows_the_seed():
    material = recordings(*[("", 60.0)] * 40)
    assert held_out(material) == held_out(material[::1])
    assert len({tuple(held_out(material, seed)) for seed in range(5)}) > 1


# --- what cannot be used


def test_no_folder_says_the_layout_and_what_to_do(tmp_path):
    with pytest.raises(
        DatasetError, match=r"no folder .*solos.*solos/horn/NAME\.flac.*of your own.*UNMIX_DATA"
    ):
        Solos(tmp_path)
    assert not solos.here(tmp_path)


def test_a_root_that_is_the_folder_itself_is_recognised(root):
    with pytest.raises(DatasetError, match="give the folder above"):
        Solos(root / "solos")
    (root / "solos").rename(root / "database")
    with pytest.raises(DatasetError, match=r"name the folder .*database 'solos', and give"):
        Solos(root / "database")


def test_a_folder_without_audio(tmp_path):
    (tmp_path / "solos" / "horn").mkdir(parents=True)
    (tmp_path / "solos" / "horn" / "readme.txt").write_text("soon")
    with pytest.raises(DatasetError, match=r"holds no solo recording.*Expected: files such as"):
        Solos(tmp_path)
    assert not solos.here(tmp_path)


def test_a_missing_instrument_is_named_with_its_folder(root):
    with pytest.raises(
        DatasetError, match=r"no solo recording of violin\. .*horn, piano, violin.*solos.violin"
    ):
        Solos(root).parts(["horn", "piano", "violin"])


def test_a_recording_shorter_than_the_context_is_left_out(tmp_path):
    assert pytest.approx(0.224) == SHORTEST
    write(tmp_path, "horn/long.wav", 0.225)
    write(tmp_path, "horn/short.wav", 0.223)
    write(tmp_path, "viola/short.wav", 0.1)
    found = Solos(tmp_path)
    assert list(found.recordings) == ["horn/long"]
    assert "lasts 0.223 s, less than the 0.224 s of a context" in found.left_out["horn/short"]
    with pytest.raises(DatasetError, match=r"horn/short: is left out .*lasts 0\.223 s"):
        found.load("horn/short", RATE)
    with pytest.raises(DatasetError, match=r"of viola that can be used .*lasts 0\.100 s"):
        found.parts(["viola"])


def test_a_folder_with_nothing_but_short_files_says_why(tmp_path):
    write(tmp_path, "horn/short.wav", 0.2)
    with pytest.raises(DatasetError, match=r"can be used \(.*lasts 0\.200 s"):
        Solos(tmp_path)


def test_a_silent_recording_is_an_error_with_its_name(root):
    write(root, "horn/mute.wav", sound=np.zeros(RATE))
    with pytest.raises(AudioError, match=r"mute\.wav: is silent throughout"):
        Solos(root).load("horn/mute", RATE)


def test_channels_that_cancel_are_an_error(root):
    tone = np.sin(np.arange(RATE))
    write(root, "horn/turned.wav", sound=np.stack([tone, -tone], axis=1))
    with pytest.raises(AudioError, match=r"turned\.wav: is silent in mono.*sign of one channel"):
        Solos(root).load("horn/turned", RATE)


def test_unknown_clip_with_the_nearest_name(root):
    with pytest.raises(DatasetError, match=r"'piano/fuor' \(did you mean 'piano/four'"):
        Solos(root).load("piano/fuor", RATE)


def test_fingerprint_follows_content_names_and_players(root):
    first = Solos(root).fingerprint()
    assert Solos(root).fingerprint() == first
    write(root, "Horn/b.aiff", 0.25, pitch=300.0)
    second = Solos(root).fingerprint()
    (root / "solos" / "piano" / "four.ogg").rename(root / "solos" / "piano" / "five.ogg")
    assert len({first, second, Solos(root).fingerprint()}) == 3


# --- verify, and the command line


@pytest.fixture
def complete(root):
    """Add what the two trios need besides."""
    for instrument in ("violin", "bassoon", "trumpet"):
        write(root, f"{instrument}/a.wav")
    return root


def test_verify_is_content_with_the_five_instruments_of_the_trios(complete):
    report = solos.verify(complete)
    assert report.ok
    assert report.lines()[0].endswith("9 of 9 recordings can be used.")
    notes = " ".join(report.notes)
    assert "No recording of cello, clarinet, saxophone, viola, which neither trio has" in notes
    assert "One recording, so none for the validation: bassoon, trumpet, violin." in notes
    assert "Players are not all known (no sub-folder names them): horn, piano." in notes


def test_verify_names_what_cannot_be_used(complete):
    (complete / "solos" / "violin" / "a.wav").unlink()
    cut = complete / "solos" / "trumpet" / "a.wav"
    cut.write_bytes(cut.read_bytes()[:5000])
    (complete / "solos" / "Horn" / "c.flac").write_bytes(b"no sound")
    write(complete, "Horn/d.wav", sound=np.zeros(RATE))
    write(complete, "Horn/e.wav", 0.1)
    report = solos.verify(complete)
    text = "\n".join(report.lines())
    assert (report.ok, report.expected, report.fine) == (False, 10, 7)
    assert "1 missing:\n  violin (no recording)" in text
    assert "a.wav: truncated" in text
    assert "c.flac: cannot be read as sound" in text
    assert "d.wav: is silent throughout" in text
    assert "Left out: " in text
    assert "e.wav lasts 0.100 s" in text
    assert f"What to do: put recordings of your own into {complete / 'solos'}" in text


def test_a_validation_that_is_not_a_tenth_by_other_players_is_said(tmp_path):
    for number in range(10):
        write(tmp_path, f"horn/A/{number}.wav", 0.3)
        write(tmp_path, f"viola/{'AB'[number % 2]}/{number}.wav", 0.3)
        write(tmp_path, f"piano/{number}/a.wav", 0.3)
    notes = " ".join(solos.verify(tmp_path).notes)
    assert "Validated with other recordings, but not with other players: horn." in notes
    assert "so that much of the material validates: viola (50%)." in notes
    assert "piano" not in notes


def test_command_shows_counts_beside_the_papers(unmix, complete):
    status, out, _ = unmix("data", "verify", "solos", "--data-root", complete)
    assert status == 0
    rows = {
        row[0]: row[1:] for line in out.splitlines() if len(row := re.findall(r"[\w.]+", line)) == 6
    }
    assert rows["Piano"] == ["4", "0.00", "7.5", "89", "6.12"]
    assert rows["Viola"] == ["0", "0.00", "0.0", "13", "1.61"]
    assert len(rows) == len(INSTRUMENTS)
    assert "9 of 9 recordings can be used" in out


def test_command_fetch_says_that_there_is_nothing_to_fetch(unmix, tmp_path):
    status, _, err = unmix("data", "fetch", "solos", "--data-root", tmp_path)
    assert status == 1
    assert "cannot be fetched: the paper's database is private" in " ".join(err.split())


def test_command_list_says_whether_solos_are_there(unmix, root):
    def row():
        out = unmix("data", "list", "--data-root", root)[1]
        return next(line for line in out.splitlines() if line.startswith("│ solos"))

    assert "yes" in row()
    assert "your own" in row()
    (root / "solos").rename(root / "elsewhere")
    assert "yes" not in row()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no sound", "cannot be read as sound"), (None, "a header stands there, and no sound")],
)
def test_a_training_does_not_go_on_without_a_recording_that_cannot_be_read(complete, content, said):
    bad = complete / "solos" / "Horn" / "c.wav"
    write(complete, "Horn/c.wav", sound=np.zeros(0))
    if content:
        bad.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"c\.wav.*{said}.*take it out of"):
        Solos(complete).parts(("horn", "piano"))
    assert Solos(complete).parts(("bassoon", "piano"))["train"], "other instruments are there"
    assert not solos.verify(complete).ok
