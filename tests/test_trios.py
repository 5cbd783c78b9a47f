"""TRIOS: layouts, sources and their sum, parts, what cannot be used, and fetching."""

import shutil

import numpy as np
import pytest
import soundfile

from aids import hosting, zipped
from unmix.datasets import catalogue, remote, trios
from unmix.datasets.splits import in_two_parts
from unmix.datasets.trios import PIECES, Trios
from unmix.errors import AudioError, DatasetError
from unmix.runs.scene import scene
from unmix.runs.spec import Mixing

RATE = 4000
PITCHES = {"bassoon": 200, "horn": 300, "piano": 500, "trumpet": 700, "violin": 1100}
SOLOS = {
    "bassoon": ("a", "b"),
    "horn": ("TUCKWELL/a", "TUCKWELL/b", "BRAIN/a"),
    "piano": ("a", "b", "c"),
    "trumpet": ("a", "b"),
    "violin": ("a", "b"),
    "viola": ("a",),
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path_factory.mktemp("cache")))


def tone(pitch, seconds=1.0, rate=RATE, level=0.2):
    return level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def write(path, sound, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate)


def write_trios(home, tracks="{instrument}.wav"):
    """Write both pieces in the documented layout, with a mix and a score."""
    for piece, instruments in PIECES.items():
        for instrument in instruments:
            file = tracks.format(instrument=instrument, piece=piece.capitalize())
            write(home / piece / file, tone(PITCHES[instrument]))
        write(home / piece / "mix.wav", sum(tone(PITCHES[each]) for each in instruments))
        (home / piece / f"{instruments[0]}.mid").write_bytes(b"MThd")
    (home / "mozart").mkdir()
    return home


def write_solos(root):
    for number, (instrument, names) in enumerate(SOLOS.items()):
        for name in names:
            write(root / "solos" / instrument / f"{name}.wav", tone(150 + 10 * number, 0.5))


@pytest.fixture
def root(tmp_path):
    write_solos(tmp_path)
    write_trios(tmp_path / "TRIOS")
    return tmp_path


def pitches(sound, rate):
    spectrum = np.abs(np.fft.rfft(sound[0])) / sound.shape[1]
    return sorted(round(float(b) * rate / sound.shape[1]) for b in np.flatnonzero(spectrum > 0.03))


# --- layouts


@pytest.mark.parametrize(
    "folder", ["TRIOS", "trios", "TRIOS_dataset", "TRIOS Dataset", "TRIOS_dataset/TRIOS_dataset"]
)
def test_folders_that_archives_unpack_to(tmp_path, folder):
    write_solos(tmp_path)
    write_trios(tmp_path / folder)
    assert Trios(tmp_path).home == tmp_path / folder
    assert trios.here(tmp_path)


@pytest.mark.parametrize(
    "tracks", ["{instrument}.WAV", "{piece}_{instrument}.flac", "{piece}-{instrument}.wav"]
)
def test_names_of_tracks(tmp_path, tracks):
    write_solos(tmp_path)
    write_trios(tmp_path / "TRIOS", tracks)
    (tmp_path / "TRIOS" / "brahms").rename(tmp_path / "TRIOS" / "Brahms_Op40")
    found = Trios(tmp_path)
    assert {piece: tuple(paths) for piece, paths in found.pieces.items()} == dict(PIECES)
    assert found.load("brahms", RATE).sources["horn"].any()


def test_a_track_by_another_name_of_its_instrument(root):
    folder = root / "TRIOS" / "brahms"
    (folder / "horn.wav").rename(folder / "French Horn.wav")
    assert Trios(root).pieces["brahms"]["horn"].name == "French Horn.wav"


# --- sources


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_has_three_sources_in_mono_and_their_sum_is_the_mixture(root, piece):
    track = Trios(root).load(piece, RATE)
    assert tuple(track.sources) == PIECES[piece]
    for instrument, sound in track.sources.items():
        assert (sound.shape, sound.dtype) == ((1, RATE), np.float32)
        assert pitches(sound, RATE) == [PITCHES[instrument]]
    mixed = scene(track, Mixing(level="recorded", targets=PIECES[piece]))
    assert pitches(mixed.mixture, RATE) == sorted(PITCHES[each] for each in PIECES[piece])
    mix, _ = soundfile.read(root / "TRIOS" / piece / "mix.wav")
    np.testing.assert_allclose(mixed.mixture[0], mix, atol=2e-4)


def test_stereo_becomes_the_mean_of_its_channels(root):
    stereo = np.stack([tone(300, level=0.4), tone(900, level=0.2)], axis=1)
    write(root / "TRIOS" / "brahms" / "horn.wav", stereo)
    horn = Trios(root).load("brahms", RATE).sources["horn"]
    np.testing.assert_allclose(horn[0], stereo.mean(axis=1), atol=1e-4)


def test_tracks_of_different_rates_are_each_resampled(root):
    write(root / "TRIOS" / "brahms" / "violin.wav", tone(1100, rate=44100), 44100)
    track = Trios(root).load("brahms", 32000)
    assert {sound.shape for sound in track.sources.values()} == {(1, 32000)}
    for instrument, sound in track.sources.items():
        assert pitches(sound, 32000) == [PITCHES[instrument]]


def test_a_track_that_ends_a_little_early_is_filled_up_with_silence(root):
    write(root / "TRIOS" / "brahms" / "horn.wav", tone(300, 0.95))
    horn = Trios(root).load("brahms", RATE).sources["horn"]
    assert horn.shape == (1, RATE)
    assert not horn[:, 3800:].any()
    assert horn[:, 3700:3800].any()


def test_tracks_of_different_lengths_are_an_error(root):
    write(root / "TRIOS" / "brahms" / "horn.wav", tone(300, 0.85))
    with pytest.raises(AudioError, match=r"brahms: .*differ in length \(horn 0\.85 s, piano 1\.00"):
        Trios(root).load("brahms", RATE)


def test_a_silent_track_is_an_error(root):
    write(root / "TRIOS" / "brahms" / "horn.wav", np.zeros(RATE))
    with pytest.raises(AudioError, match=r"horn\.wav: is silent throughout"):
        Trios(root).load("brahms", RATE)


# --- parts


@pytest.mark.parametrize("piece", PIECES)
def test_parts_are_solos_of_the_trio_and_the_trio(root, piece):
    dataset = Trios(root)
    parts = dataset.split(piece)
    assert parts["test"] == [piece]
    solos = [f"{each}/{name}" for each in PIECES[piece] for name in SOLOS[each]]
    assert sorted(parts["train"] + parts["valid"]) == sorted(solos)
    for part in ("train", "valid"):
        assert {name.split("/")[0] for name in parts[part]} == set(PIECES[piece])
    clips = {clip.name: clip for clip in dataset.clips()}
    assert not in_two_parts(parts, {name: clip.song for name, clip in clips.items()})
    known = {name: clip.artist for name, clip in clips.items() if clip.artist}
    assert not in_two_parts(parts, known)


def test_a_solo_is_loaded_as_a_clip_of_one_source(root):
    track = Trios(root).load("horn/BRAIN/a", RATE)
    assert (list(track.sources), track.clip.artist) == (["horn"], "BRAIN")
    mixed = scene(track, Mixing(level="recorded", targets=PIECES["brahms"]))
    np.testing.assert_array_equal(mixed.mixture, track.sources["horn"])


def test_fidelity_is_full_with_both_trios_and_subset_with_one(root):
    assert Trios(root).fidelity == "full"
    assert catalogue.whole("trios", root)
    shutil.rmtree(root / "TRIOS" / "lussier")
    dataset = Trios(root)
    assert dataset.fidelity == "subset"
    assert not catalogue.whole("trios", root)
    assert dataset.split("brahms")["test"] == ["brahms"]
    with pytest.raises(
        DatasetError, match=r"trio lussier is left out: there is no folder .*lussier"
    ):
        dataset.split("lussier")
    with pytest.raises(DatasetError, match="trio lussier is left out"):
        dataset.load("lussier", RATE)


def test_fingerprint_follows_tracks_and_solos_but_not_the_mix(root):
    first = Trios(root).fingerprint()
    write(root / "TRIOS" / "brahms" / "mix.wav", tone(50))
    assert Trios(root).fingerprint() == first
    write(root / "TRIOS" / "brahms" / "horn.wav", tone(310))
    second = Trios(root).fingerprint()
    write(root / "solos" / "horn" / "c.wav", tone(310))
    assert len({first, second, Trios(root).fingerprint()}) == 3


# --- what cannot be used


def test_no_folder_says_the_layout_and_the_command(tmp_path):
    write_solos(tmp_path)
    with pytest.raises(
        DatasetError,
        match=r"no such folder.*TRIOS/brahms/horn\.wav.*unmix data fetch trios --data-root .*UNMIX",
    ):
        Trios(tmp_path)
    assert not catalogue.available("trios", tmp_path)


def test_a_root_that_is_the_dataset_itself_is_recognised(root):
    with pytest.raises(DatasetError, match="give the folder above"):
        Trios(root / "TRIOS")


def test_a_folder_without_either_piece(tmp_path):
    (tmp_path / "TRIOS" / "mozart").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"holds no folder brahms or lussier"):
        trios.find_pieces(tmp_path)


def test_missing_solos_are_the_first_thing_said(root):
    shutil.rmtree(root / "solos")
    with pytest.raises(DatasetError, match=r"solo recordings were not found"):
        Trios(root)
    assert not catalogue.available("trios", root)


def test_an_instrument_missing_from_the_solos_leaves_its_trio_out(root):
    shutil.rmtree(root / "solos" / "violin")
    dataset = Trios(root)
    with pytest.raises(DatasetError, match=r"brahms is left out: .*no solo recording of violin"):
        dataset.split("brahms")
    assert dataset.split("lussier")["train"]
    assert catalogue.available("trios", root)
    shutil.rmtree(root / "solos" / "trumpet")
    with pytest.raises(DatasetError, match=r"neither trio.*of violin.*of trumpet.*verify solos"):
        Trios(root)
    assert not catalogue.available("trios", root)


def test_a_missing_track_and_one_that_is_there_twice(root):
    (root / "TRIOS" / "brahms" / "horn.wav").unlink()
    write(root / "TRIOS" / "lussier" / "Lussier_piano.wav", tone(500))
    left_out = trios.find_pieces(root)[2]
    assert "has no horn (such as horn.wav)" in left_out["brahms"]
    assert "Lussier_piano.wav and piano.wav are both its piano" in left_out["lussier"]


def test_unknown_split_with_the_nearest_name(root):
    with pytest.raises(DatasetError, match=r"split 'brams' \(did you mean 'brahms'"):
        Trios(root).split("brams")


def test_without_a_data_root_both_are_asked_for(monkeypatch):
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    with pytest.raises(DatasetError, match=r"trios: no folder.*fetch trios.*solo recordings into"):
        catalogue.open_dataset("trios")


# --- verify


def test_verify_counts_tracks_and_holds_the_mix_against_them(root):
    write(
        root / "TRIOS" / "lussier" / "mix.wav",
        sum(
            gain * tone(PITCHES[e])
            for e, gain in zip(PIECES["lussier"], (1, 0.5, 0.25), strict=True)
        ),
    )
    report = trios.verify(root)
    assert (report.ok, report.fine, report.expected) == (True, 6, 6)
    assert "brahms: mix.wav is 1.000 horn, 1.000 piano, 1.000 violin" in report.notes[0]
    assert "lussier: mix.wav is 1.000 bassoon, 0.500 piano, 0.250 trumpet" in report.notes[1]
    assert "solo recordings of your own" in report.notes[2]


def test_verify_names_what_is_wrong(root):
    write(root / "TRIOS" / "brahms" / "horn.wav", tone(300, 0.5))
    (root / "TRIOS" / "lussier" / "piano.wav").unlink()
    report = trios.verify(root)
    text = "\n".join(report.lines())
    assert (report.ok, report.fine) == (False, 0)
    assert "brahms: its tracks differ in length" in text
    assert "lussier: " in text
    assert "has no piano" in text
    assert f"What to do: run `unmix data fetch trios --data-root {root}`" in text


# --- fetch


@pytest.fixture
def host(tmp_path_factory):
    """A web host that serves the archive under the name that it has at Zenodo."""
    made = tmp_path_factory.mktemp("made")
    home = write_trios(made / "TRIOS Dataset")
    members = {str(p.relative_to(made)): p.read_bytes() for p in home.rglob("*") if p.is_file()}
    folder = tmp_path_factory.mktemp("host")
    (folder / "TRIOS Dataset.zip").write_bytes(zipped(members))
    with hosting(folder) as address:
        yield remote.Archive(f"{address}/TRIOS Dataset.zip")


NOWHERE = remote.Archive("http://127.0.0.1:9/TRIOS Dataset.zip")


def test_fetch_downloads_unpacks_and_verifies(tmp_path, host):
    report = trios.fetch(tmp_path, archives=[host])
    assert report.ok
    assert (tmp_path / "TRIOS" / "lussier" / "bassoon.wav").is_file()
    assert not (tmp_path / "downloads" / "TRIOS Dataset.zip").exists()
    assert trios.fetch(tmp_path, archives=[NOWHERE]).ok, "a whole copy is left alone"
    write_solos(tmp_path)
    assert Trios(tmp_path).fidelity == "full"


def test_fetch_uses_an_archive_that_a_browser_has_saved(tmp_path, host):
    trios.fetch(tmp_path / "other", archives=[host])
    members = {
        f"TRIOS Dataset/{p.relative_to(tmp_path / 'other' / 'TRIOS')}": p.read_bytes()
        for p in (tmp_path / "other" / "TRIOS").rglob("*.wav")
    }
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "TRIOS Dataset.zip").write_bytes(zipped(members))
    assert trios.fetch(tmp_path).ok


def test_fetch_keeps_an_incomplete_folder_under_another_name(tmp_path, host):
    write_trios(tmp_path / "TRIOS")
    (tmp_path / "TRIOS" / "brahms" / "horn.wav").unlink()
    report = trios.fetch(tmp_path, archives=[host])
    assert report.ok
    assert (tmp_path / "TRIOS.old-1" / "brahms" / "piano.wav").is_file()
    assert "TRIOS.old-1" in report.lines()[-1]


def test_fetch_reports_an_archive_that_lacks_a_track(tmp_path):
    horn = write_trios(tmp_path / "made") / "brahms" / "horn.wav"
    (tmp_path / "downloads").mkdir()
    archive = tmp_path / "downloads" / "TRIOS Dataset.zip"
    archive.write_bytes(zipped({"TRIOS Dataset/brahms/horn.wav": horn.read_bytes()}))
    report = trios.fetch(tmp_path)
    assert not report.ok
    assert any("TRIOS Dataset.zip to make the next fetch" in note for note in report.notes)


def test_fetch_says_how_to_place_the_files_by_hand(tmp_path):
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1:9.*by hand.*downloads.*brahms.horn\.wav"):
        trios.fetch(tmp_path, archives=[NOWHERE])
    assert not (tmp_path / "TRIOS").exists()


def test_the_archive_is_the_record_that_public_programs_name():
    (archive,) = trios.ARCHIVES
    assert archive.url.startswith("https://zenodo.org/records/6797837/files/")
    assert archive.file_name == "TRIOS Dataset.zip"


# --- the command line


def test_commands_list_verify_and_fetch(unmix, root, host, monkeypatch):
    def row():
        out = unmix("data", "list", "--data-root", root)[1]
        return next(line for line in out.splitlines() if line.startswith("│ trios"))

    assert "yes" in row()
    assert "unmix data fetch trios" in row()
    monkeypatch.setenv("COLUMNS", "400")  # no line is broken
    listed = unmix("data", "list", "--data-root", root)[1]
    assert listed.count(", and") == listed.count(", and solos") == 1, "no other needs another"
    status, out, _ = unmix("data", "verify", "trios", "--data-root", root)
    assert status == 0
    assert "TRIOS: 6 of 6 files are as expected" in out
    shutil.rmtree(root / "TRIOS")
    assert "yes" not in row()
    assert unmix("data", "verify", "trios", "--data-root", root)[0] == 1
    monkeypatch.setattr(trios.fetch, "__kwdefaults__", {"archives": (host,), "progress": None})
    status, out, _ = unmix("data", "fetch", "trios", "--data-root", root)
    assert status == 0
    assert "yes" in row()
