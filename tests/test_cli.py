"""The command line: it teaches, says what is wrong in one message, and can be stopped any time."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from unmix import audio, cli
from unmix.datasets.mir1k import index
from unmix.papers.experiment import PROFILES, Setting, experiment
from unmix.runs.store import Store

pytestmark = pytest.mark.usefixtures("standin_cache")

COMMANDS = ["", "data", "data list", "data verify", "data fetch", "data make"]
COMMANDS += ["run", "table", "separate", "book"]
NETWORK = ["--system", "parwal/table4/3-rnn-mse", "--profile", "tiny"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A store that all tests of this file share, no evidence, and no dataset."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNMIX_STORE", str(folder / "store"))
        patch.setenv("UNMIX_RESULTS", str(folder / "results"))
        patch.setenv("COLUMNS", "100")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("UNMIX_DATA", raising=False)
        yield folder


@pytest.fixture
def unmix(monkeypatch, capfd):
    """Call the command line in this process; returns its status, output and messages."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["unmix", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        found = capfd.readouterr()
        return status, found.out, found.err

    return call


def start(*words):
    """Call the command line in a process of its own, with a pipe to read its lines from."""
    command = [sys.executable, "-c", "from unmix.cli import main; main()", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def stop_after(process, runs, how):
    """Send a signal once so many runs are done; returns the rest of output and messages."""
    for line in process.stdout:
        if line.startswith(f"[{runs}/"):
            break
    process.send_signal(how)
    return process.communicate(timeout=60)


@pytest.fixture(scope="module")
def interrupted(home):
    """What remained of running Table IV: after Ctrl-C, after kill -9, and when it was completed."""
    store, seen = Store(os.environ["UNMIX_STORE"]), []
    words = ("run", "parwal/table4", "--profile", "tiny", "--workers", "1")
    for runs, how in ((1, signal.SIGINT), (2, signal.SIGKILL), (99, signal.SIGINT)):
        process = start(*words)
        if runs == 99:
            out, err = process.communicate(timeout=300)
        else:
            out, err = stop_after(process, runs, how)
        stored = {run.key: run.provenance()["finished"] for run in store.runs()}
        seen.append((process.returncode, out, err, stored))
    return seen


# Stopping and going on. (What a resumed training gives to the bit, other tests hold.)


def test_ctrl_c_ends_a_run_with_one_line(interrupted):
    status, _, err, stored = interrupted[0]
    assert status == 130
    assert err == "interrupted; the same command goes on where this one stopped\n"
    assert 1 <= len(stored) < 8


def test_kill_9_loses_no_finished_run_and_leaves_none_half_there(interrupted):
    status, _, err, stored = interrupted[1]
    assert (status, err) == (-signal.SIGKILL, "")
    before = interrupted[0][3]
    assert before.items() < stored.items()
    assert len(stored) < 8


def test_the_next_call_completes_and_repeats_nothing(interrupted, unmix):
    status, out, err, stored = interrupted[2]
    assert (status, err) == (0, "")
    before = interrupted[1][3]
    assert len(stored) == 8
    assert before.items() < stored.items()
    done = re.findall(r"^\[(\d+)/(\d+)\] done: (.*)$", out, re.MULTILINE)
    assert len(done) == 8 - len(before)
    assert done[-1][:2] == (str(len(done)), str(len(done)))
    assert out.splitlines()[-1].endswith("Look at it: unmix table parwal/table4")
    status, out, _ = unmix("run", "parwal/table4", "--profile", "tiny", "--workers", "1")
    assert (status, "done:" in out) == (0, False)


# Running and looking.


def test_run_then_table_in_long_form(interrupted, unmix):
    status, out, _ = unmix("run", "parwal/table2", "--profile", "tiny", "--workers", "1")
    assert status == 0
    assert "[1/1] done: table2: Not augmented, seed 0" in out, "the other row is Table IV's too"
    status, out, err = unmix("table", "parwal/table2", "--csv", "--profile", "tiny")
    assert (status, err) == (0, "")
    head, *lines = out.splitlines()
    assert head == "input,metric,published,reproduced,spread,seeds,fidelity,runs"
    assert len(lines) == 6
    rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]
    assert [(row["input"], row["metric"], row["published"]) for row in rows] == [
        ("Not augmented", "GNSDR", "6.5500"),
        ("Not augmented", "GSIR", "9.4500"),
        ("Not augmented", "GSAR", "9.8900"),
        ("Augmented", "GNSDR", "7.1300"),
        ("Augmented", "GSIR", "10.0300"),
        ("Augmented", "GSAR", "10.6400"),
    ]
    for row in rows:
        assert np.isfinite(float(row["reproduced"]))
        assert (row["spread"], row["seeds"], row["fidelity"]) == ("", "1", "stand-in")
        (path,) = Path(os.environ["UNMIX_STORE"]).glob(f"{row['runs']}*")
        scores = pd.read_csv(path / "scores.csv")
        column = {"GNSDR": "nsdr", "GSIR": "sir", "GSAR": "sar"}[row["metric"]]
        mean = np.average(scores[column], weights=scores["samples"])
        assert float(row["reproduced"]) == pytest.approx(mean, abs=1e-3)


def test_table_with_two_keys_has_both_as_columns(interrupted, unmix):
    _, out, _ = unmix("table", "parwal/table4", "--csv", "--profile", "tiny")
    head, *lines = out.splitlines()
    assert head == "model,loss,metric,published,reproduced,spread,seeds,fidelity,runs"
    assert len(lines) == 24


def test_table_for_people_fits_a_terminal(interrupted, unmix, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = unmix("table", "parwal/table4", "--profile", "tiny")
    assert status == 0
    assert "Table IV: depth and loss" in out
    assert max(map(len, out.splitlines())) <= 80
    (row,) = [line for line in out.splitlines() if re.match(r"\s*3 RNN\s+KL", line)]
    assert {"7.25", "10.46", "11.15", "stand-in"} <= set(row.split())


def test_table_of_what_was_not_run_says_so(unmix, tmp_path):
    words = ("--profile", "tiny", "--store", tmp_path)
    status, out, _ = unmix("table", "parwal/table3", *words)
    assert status == 0
    assert out.count("not run yet") >= 4
    _, out, _ = unmix("table", "parwal/table3", "--csv", *words)
    assert out.splitlines()[1] == "Vocal,GNSDR,5.6300,,,0,,"


# Separating a file.


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
def test_estimates_add_up_to_the_mixture(interrupted, unmix, tmp_path, channels, rate, silent):
    file = sound(tmp_path / "my song.wav", channels, rate, silent=silent)
    status, out, err = unmix("separate", file, *NETWORK, "-o", tmp_path / "out")
    assert (status, err) == (0, "")
    paths = [tmp_path / "out" / f"my song.{name}.wav" for name in ("voice", "accompaniment")]
    assert out == "".join(f"wrote {path}\n" for path in paths)
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


def test_system_list_marks_what_is_not_stored(interrupted, unmix):
    for words in (("x.wav",), ()):
        status, out, _ = unmix("separate", *words, "--system", "list", "--profile", "tiny")
        assert status == 0
        lines = out.splitlines()
        assert "parwal/table4/3-rnn-kl" in lines
        assert "parwal/table1/3   (not stored: unmix run parwal/table1)" in lines


@pytest.fixture
def broken(tmp_path):
    """Sound files that cannot be separated, by what is wrong with them."""
    good = sound(tmp_path / "good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "truncated.wav").write_bytes(good.read_bytes()[:-4000])
    sound(tmp_path / "silent.wav", silent=[0])
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", np.zeros((0, 1)), 8000)
    return tmp_path


BROKEN = {
    "missing": "no such file",
    "empty": "empty .0 bytes.",
    "text": "cannot be read as sound",
    "truncated": "truncated, .* frames found where the header promises 10400",
    "silent": "silent throughout",
    "nan": "800 of 800 samples are NaN",
    "short": "holds no samples",
}


def refused(found, said, status=1):
    """One message with what was found and what to do; nothing else."""
    assert found[0] == status
    assert found[1] == ""
    assert "Traceback" not in found[2]
    assert re.search(said, " ".join(found[2].split())), found[2]
    if status == 1:
        assert re.fullmatch(r"error: .+\n", found[2]), "one line"
        assert "Expected: " in found[2] or "What to do: " in found[2]


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_sound_file_is_refused_and_nothing_is_written(interrupted, unmix, broken, name):
    out = broken / "out"
    refused(unmix("separate", broken / f"{name}.wav", *NETWORK, "-o", out), BROKEN[name])
    assert not out.exists()


def test_estimates_that_cannot_be_written_are_told(interrupted, unmix, broken):
    (broken / "file").touch()
    words = ("separate", broken / "good.wav", *NETWORK, "-o", broken / "file")
    refused(unmix(*words), "good.voice.wav: could not be written")


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("parwal/table4/4-rnn-mse", "unknown system '4-rnn-mse' .did you mean"),
        ("parwal/table9/1", "unknown experiment 'table9'"),
        ("parwel/table4/dnn-mse", "unknown paper 'parwel'"),
        ("3-rnn-mse", "names no system. Expected: PAPER/EXPERIMENT/ROW"),
        ("parwal/choices/bfloat16", "not trained.* run `unmix run parwal/choices --profile tiny`"),
    ],
)
def test_a_system_that_is_not_there_is_refused(unmix, broken, system, said):
    words = ("--system", system, "--profile", "tiny", "-o", broken / "out")
    refused(unmix("separate", broken / "good.wav", *words), said)


# Bad input elsewhere.

SPELT = [
    ("run parwel", "unknown paper 'parwel' .did you mean 'parwal'"),
    ("run parwal/tabel2", "unknown experiment of parwal: 'tabel2' .did you mean 'table2'"),
    ("run parwal --profile quik", "unknown profile 'quik' .*Expected: tiny, quick, full"),
    ("run parwal/table2 --profile tiny --device tpu", "unknown device 'tpu'.*cuda:N"),
    ("run parwal/table2 --profile tiny --device cuda:99", "'cuda:99' is not there.*--device cpu"),
    ("run parwal/table2 --profile tiny --engine slurm", "unknown engine 'slurm'.*local"),
    ("run parwal/table2 --profile full", "mir1k: no folder with datasets is set.*data fetch mir1k"),
    ("run parwal/table2 --profile full --data-root nowhere", "MIR-1K was not found.*data fetch"),
    ("run parwal/table2 --data-root nowhere", "nowhere: no such folder for datasets"),
    ("table parwal", "names no table. Expected: parwal/TABLE"),
    ("table parwal/table9", "unknown experiment of parwal: 'table9'"),
    ("table parwel/table2", "unknown paper 'parwel'"),
    ("table parwal/table2 --profile big", "unknown profile 'big'"),
    ("data verify mir2k", "unknown dataset 'mir2k' .did you mean 'mir1k'"),
    ("data fetch synthetic-voice", "unknown dataset 'synthetic-voice'"),
    ("data make mir1k", "unknown stand-in 'mir1k'.*Expected: synthetic-voice"),
    ("data verify mir1k", "no folder for datasets is set.*--data-root"),
    ("data verify mir1k --data-root nowhere", "MIR-1K was not found"),
    ("book --profile huge", "unknown profile 'huge'"),
]


@pytest.mark.parametrize(("words", "said"), SPELT, ids=[words for words, _ in SPELT])
def test_bad_input_is_one_message(unmix, words, said):
    refused(unmix(*words.split()), said)


@pytest.mark.parametrize("words", ["run", "bogus", "run parwal --seeds -1", "table a --what"])
def test_a_usage_error_points_to_help(unmix, words):
    refused(unmix(*words.split()), "Try 'unmix.* --help' for help", 2)


def test_a_file_to_separate_is_asked_for(unmix):
    refused(unmix("separate"), "a sound file is missing", 2)


def test_a_store_that_cannot_be_written_is_told(unmix, tmp_path):
    (tmp_path / "file").touch()
    words = ("run", "parwal/baselines", "--profile", "tiny", "--workers", "1")
    refused(unmix(*words, "--store", tmp_path / "file"), "cannot be written.*--store")


# Help and datasets.


@pytest.mark.parametrize("words", COMMANDS)
def test_help_teaches(unmix, words):
    status, out, err = unmix(*words.split(), "--help")
    assert (status, err) == (0, "")
    assert f"Usage: {' '.join(['unmix', *words.split()])}" in out
    wanted = {
        "": ["run", "table", "separate", "book", "data", "unmix run parwal/table2"],
        "data": ["list", "verify", "fetch", "make"],
        "data list": ["--data-root", "UNMIX_DATA"],
        "data verify": ["--data-root", "mir1k"],
        "data fetch": ["--data-root", "interrupted"],
        "data make": ["--out", "synthetic-voice"],
        "run": ["--profile", "--seeds", "--device", "--engine", "--workers", "--store", "Ctrl-C"],
        "table": ["--csv", "--profile", "--seeds", "published", "spread", "fidelity"],
        "separate": ["--system", "--out", "-o", "--system list", "8 kHz"],
        "book": ["--profile", "--out", "--device", "dead link", "tiny"],
    }[words]
    plain = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    assert [word for word in wanted if word not in plain] == []


def test_data_list_says_what_is_here(unmix, tmp_path):
    def here():
        out = unmix("data", "list", "--data-root", tmp_path)[1]
        return re.search(r"mir1k\s+│\s+(\w+)", out.replace("┃", "│")).group(1)

    assert here() == "no"
    (tmp_path / "MIR-1K" / "Wavfile").mkdir(parents=True)
    assert here() == "yes"
    status, out, _ = unmix("data", "list")
    assert status == 0
    assert "not set" in out
    assert re.search("synthetic-voice.*embedded.*unmix data make synthetic-voice", out)


def test_data_verify_of_an_incomplete_folder_names_what_is_missing(unmix, tmp_path):
    folder = tmp_path / "MIR-1K" / "Wavfile"
    folder.mkdir(parents=True)
    (folder / "abjones_1_01.wav").write_bytes(b"half a file")
    status, out, _ = unmix("data", "verify", "mir1k", "--data-root", tmp_path)
    assert status == 1
    first = sorted(set(index()) - {"abjones_1_01"})[:10]
    assert "\n".join(["999 missing:", *(f"  {name}" for name in first)]) in out
    assert re.search(r"abjones_1_01\.wav: cannot be read", out)


def test_data_make_writes_the_stand_in(unmix, tmp_path, monkeypatch):
    from unmix.datasets import catalogue
    from unmix.datasets.synthetic import SyntheticVoice

    few = SyntheticVoice(dict(zip(("train", "valid", "test"), (1, 0, 1), strict=True)))
    monkeypatch.setattr(catalogue, "open_dataset", lambda name: few)
    status, out, _ = unmix("data", "make", "synthetic-voice", "--out", tmp_path / "wav")
    assert status == 0
    assert out == f"synthetic-voice: 2 clips rendered and written to {tmp_path / 'wav'}\n"
    names = [f"{clip.name}.{source}.wav" for clip in few.clips() for source in few.source_names]
    assert sorted(path.name for path in (tmp_path / "wav").iterdir()) == sorted(names)
    for name in names:
        assert audio.read(tmp_path / "wav" / name, rate=16000, channels=1)[0].any()


def test_table_iv_of_the_tests_is_that_of_the_paper(interrupted):
    """The other tests count on eight rows."""
    rows = experiment("parwal", "table4", Setting(PROFILES["tiny"], False)).rows
    assert len(rows) == len(interrupted[2][3]) == 8
