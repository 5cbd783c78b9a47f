"""Separating a file of one's own with a stored system."""

import re

import numpy as np
import pytest
import soundfile

from aids import refused
from unmix import audio

pytestmark = pytest.mark.usefixtures("standin_cache", "home")

TINY = ["--profile", "tiny"]
NETWORK = ["--system", "parwal/table2/augmented", *TINY]


@pytest.fixture(scope="module")
def trained(standin_cache, home):
    """The networks of Table II and the anchors, in the store of this file."""
    from unmix.report.workbook import Workbook

    Workbook("parwal", profile="tiny", device="cpu", workers=1).run("table2", "baselines")


def sound(path, channels=1, rate=8000, seconds=1.3, silent=()):
    rng = np.random.default_rng(channels)
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (300 * time + np.sin(9 * time)))
    data = np.stack([tone + 0.1 * rng.standard_normal(len(tone)) for _ in range(channels)])
    data[list(silent)] = 0
    soundfile.write(path, data.T, rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("channels", "rate", "silent"), [(1, 8000, ()), (2, 44100, ()), (3, 16000, (1,))]
)
def test_estimates_add_up_to_the_mixture(trained, unmix, tmp_path, channels, rate, silent):
    file = sound(tmp_path / "my song.wav", channels, rate, silent=silent)
    status, out, err = unmix("separate", file, *NETWORK, "-o", tmp_path / "out")
    assert (status, err) == (0, "")
    paths = [tmp_path / "out" / f"my song.{name}.wav" for name in ("voice", "accompaniment")]
    network, *wrote = out.splitlines()
    assert wrote == [f"wrote {path}" for path in paths]
    assert re.fullmatch(
        r"separated by parwal/table2/augmented, trained on 6 clips of synthetic-voice "
        r"\(a stand-in, not the paper's dataset\), 8000 Hz, run [0-9a-f]{12}",
        network,
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "my song.accompaniment.wav",
        "my song.voice.wav",
    ]
    mixture = audio.resample(audio.read(file)[0], rate, 8000)
    assert mixture.shape == (channels, round(1.3 * 8000))
    parts = [audio.read(path, rate=8000, channels=channels)[0] for path in paths]
    assert all(part.shape == mixture.shape for part in parts)
    assert np.abs(sum(parts) - mixture).max() < 2e-4, "16 bits a sample"
    sounding = [c for c in range(channels) if c not in silent]
    assert all(audio.rms(part[sounding]) > 1e-3 for part in parts), "neither is the mixture"


def test_loud_estimates_are_scaled_by_one_factor(trained, unmix, tmp_path):
    quiet = audio.read(sound(tmp_path / "quiet.wav"))[0]
    loud = (5.0 * quiet).astype(np.float32)
    soundfile.write(tmp_path / "loud.wav", loud.T, 8000, subtype="FLOAT")
    status, out, _ = unmix("separate", tmp_path / "loud.wav", *NETWORK, "-o", tmp_path)
    assert status == 0
    gain = float(re.search(r"scaled by (0\.\d+) \(−\d+\.\d dB\), so that none clips", out)[1])
    parts = [
        audio.read(tmp_path / f"loud.{name}.wav", rate=8000)[0]
        for name in ("voice", "accompaniment")
    ]
    assert max(np.abs(part).max() for part in parts) == pytest.approx(0.999, abs=1e-3)
    assert np.abs(sum(parts) - gain * loud).max() < 5e-3, "they still add up to the mixture"
    _, out, _ = unmix("separate", tmp_path / "quiet.wav", *NETWORK, "-o", tmp_path)
    assert "scaled by" not in out


def test_a_factorisation_takes_a_file_too(trained, unmix, tmp_path):
    file, system = sound(tmp_path / "x.wav", 2, silent=(0,)), "parwal/baselines/convolutive-nmf"
    assert unmix("separate", file, "--system", system, *TINY, "-o", tmp_path)[0] == 0
    parts = [
        audio.read(tmp_path / f"x.{name}.wav", rate=8000, channels=2)[0]
        for name in ("voice", "accompaniment")
    ]
    assert np.abs(sum(parts) - audio.read(file)[0]).max() < 2e-4, "16 bits a sample"
    assert all(audio.rms(part[1:]) > 1e-3 for part in parts)
    assert not any(part[0].any() for part in parts)


def test_system_list_marks_what_is_not_stored(trained, unmix):
    for words in (("x.wav",), ()):
        status, out, _ = unmix("separate", *words, "--system", "list", "--profile", "tiny")
        assert status == 0
        lines = out.splitlines()
        sounds = "   8000 Hz, voice and accompaniment"
        assert f"parwal/table2/augmented{sounds}" in lines
        missing = " (not stored: unmix run parwal/table1 --profile tiny)"
        assert f"parwal/table1/3{sounds}{missing}" in lines
        assert f"parwal/baselines/convolutive-nmf{sounds}" in lines
        assert not any("oracle" in line for line in lines), "they cannot work on a file"


@pytest.fixture
def broken(tmp_path):
    """Sound files that cannot be separated, by what is wrong with them."""
    good = sound(tmp_path / "good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "text.mp3").write_text("this is no sound " * 100)
    (tmp_path / "folder").mkdir()
    (tmp_path / "truncated.wav").write_bytes(good.read_bytes()[:-4000])
    sound(tmp_path / "silent.wav", silent=[0])
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "faint.wav", np.full(800, 1e-6), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", np.zeros((0, 1)), 8000)
    return tmp_path


BROKEN = {
    "missing.wav": "no such file",
    "empty.wav": "empty .0 bytes.",
    "text.wav": "cannot be read as sound",
    "text.mp3": r"cannot be read as sound \(it holds nothing of the kind",
    "truncated.wav": "truncated, .* frames found where the header promises 10400",
    "silent.wav": "silent throughout",
    "nan.wav": "800 of 800 samples are NaN",
    "faint.wav": "a peak of 1e-06, less than a step of the 16-bit files",
    "short.wav": "holds no samples",
    "folder": "folder: is a folder. Expected: a sound file",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_sound_file_is_refused_and_nothing_is_written(trained, unmix, broken, name):
    out = broken / "out"
    refused(unmix("separate", broken / name, *NETWORK, "-o", out), BROKEN[name])
    assert not out.exists()


def test_a_place_that_is_no_folder_is_refused(trained, unmix, broken):
    (broken / "file").touch()
    words = ("separate", broken / "good.wav", *NETWORK, "-o")
    refused(unmix(*words, broken / "file"), "'--out' .*file is a file, not a folder", 2)
    refused(unmix(*words, ""), "'--out' .*an empty name is no folder", 2)
    refused(unmix(*words, broken / "file" / "out"), "good.voice.wav: could not be written")


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("parwal/table4/4-rnn-mse", "unknown system '4-rnn-mse' .did you mean"),
        ("parwal/table9/1", "unknown experiment 'table9'"),
        ("parwel/table4/dnn-mse", "unknown paper 'parwel'"),
        ("3-rnn-mse", "names no system. Expected: PAPER/EXPERIMENT/ROW"),
        ("parwal/choices/bfloat16", "not trained.* run `unmix run parwal/choices --profile tiny`"),
        ("parwal/baselines/oracle-binary-mask-ibm", "needs the true sources.*convolutive-nmf"),
    ],
)
def test_a_system_that_is_not_there_is_refused(unmix, broken, system, said):
    words = ("--system", system, "--profile", "tiny", "-o", broken / "out")
    refused(unmix("separate", broken / "good.wav", *words), said)


def test_the_next_step_keeps_the_options(unmix, broken, tmp_path):
    places = ("--store", tmp_path / "my runs", "--data-root", tmp_path)
    words = ("separate", broken / "good.wav", *NETWORK, *places)
    told = f"--profile tiny --store '{tmp_path / 'my runs'}' --data-root {tmp_path}`"
    refused(unmix(*words), f"not trained.* run `unmix run parwal/table2 {told}")
    assert f"{told[:-1]})" in unmix("separate", "--system", "list", *TINY, *places)[1]


def test_a_file_to_separate_is_asked_for(unmix):
    refused(unmix("separate"), "a sound file is missing", 2)
