"""The command line: it teaches, says what is wrong in one message, and can be stopped any time."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aids import FULL, fabricate, heeding_ctrl_c, refused, scores, spec_of
from unmix import __version__, audio
from unmix.datasets.mir1k import index
from unmix.papers.experiment import PAPERS, PROFILES, Setting, experiment
from unmix.runs.store import Store

pytestmark = pytest.mark.usefixtures("standin_cache", "home")

COMMANDS = ["", "data", "data list", "data verify", "data fetch", "data make"]
COMMANDS += ["run", "plan", "table", "separate", "book"]


def start(*words):
    """Call the command line in a process of its own, with a pipe to read its lines from."""
    command = [sys.executable, "-c", "from unmix.cli import main; main()", *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_ctrl_c,
    )


def stop_after(process, runs, how):
    """Send a signal once so many runs are done; returns the rest of output and messages."""
    for line in process.stdout:
        if line.startswith(f"[{runs}/"):
            break
    process.send_signal(how)
    return process.communicate(timeout=60)


@pytest.fixture(scope="module")
def interrupted(standin_cache, home):
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
    hint = "Look at it: unmix table parwal/table4 --profile tiny --own"
    assert out.splitlines()[-1].endswith(hint)
    status, out, _ = unmix("run", "parwal/table4", "--profile", "tiny", "--workers", "1")
    assert (status, "done:" in out) == (0, False)
    assert "8 of 8 were stored already." in out.splitlines()


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
    assert f"What is not run yet: unmix run parwal/table3 --profile tiny --store {tmp_path}" in out
    _, out, _ = unmix("table", "parwal/table3", "--csv", *words)
    assert out.splitlines()[1] == "Vocal,GNSDR,5.6300,,,0,,"


def test_a_part_of_a_table_has_its_rows_alone(unmix, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ("nugraha/table2", "--profile", "tiny", "--store", tmp_path, "--where", "part=eval")
    status, out, _ = unmix("table", *words)
    assert status == 0
    assert "Table 2: vocals and accompaniment, eval, SDR" in out
    assert not re.search(r"\bdev\b|\bfull\b|\bpart\b", out), "all rows are of one part"
    _, out, _ = unmix("table", *words, "--where", "source=vocals", "--csv")
    head, *lines = out.splitlines()
    assert head.startswith("system,source,part,metric,")
    assert len(lines) == 7 * 4, "systems and anchors by scores"
    assert all(",vocals,eval," in line for line in lines)


# Bad input elsewhere.

SPELT = [
    ("run parwel", "unknown paper 'parwel' .did you mean 'parwal'"),
    ("run parwal/tabel2", "unknown experiment of parwal: 'tabel2' .did you mean 'table2'"),
    ("run parwal --profile quik", "unknown profile 'quik' .*Expected: tiny, quick, full"),
    ("run parwal/table2 --profile tiny --device tpu", "unknown device 'tpu'.*cuda:N"),
    ("run parwal/table2 --profile tiny --device cuda:99", "'cuda:99' is not there.*--device cpu"),
    ("run parwal/table2 --profile tiny --engine slurm", "unknown engine 'slurm'.*local"),
    ("run parwal/table2 --profile full", "mir1k: no folder with datasets is set.*data fetch mir1k"),
    ("run parwal/", "names no experiment. Expected: parwal for all.*table1, table2"),
    (
        "run parwal/figure2",
        r"a figure: notebooks/parwal/figure2\.ipynb draws it.*run parwal/table4",
    ),
    ("table parwal/figure2", r"a figure: notebooks/parwal/figure2\.ipynb draws it"),
    ("data list --data-root nowhere", "nowhere: no such folder for datasets"),
    ("run parwal/table2 --data-root nowhere", "nowhere: no such folder for datasets"),
    ("run parwal/table2 --profile tiny --data-root nowhere", "nowhere: no such folder for"),
    ("run parwal/table2 --profile full --data-root nowhere", "nowhere: no such folder for"),
    ("table parwal/table2 --profile tiny --data-root nowhere", "nowhere: no such folder for"),
    ("separate --system list --profile tiny --data-root nowhere", "nowhere: no such folder for"),
    ("book --profile tiny --data-root nowhere", "nowhere: no such folder for datasets"),
    ("book --profile full", "medleydb: no folder with datasets is set.*--data-root to the folder"),
    ("table parwal", "names no table. Expected: parwal/TABLE"),
    ("table parwal/table9", "unknown experiment of parwal: 'table9'"),
    (
        "table lai/table5",
        "published, and nothing here can be run for it.*`unmix published lai/table5`",
    ),
    ("separate --system lay/list", "unknown paper 'lay' .did you mean 'lai'"),
    ("table parwel/table2", "unknown paper 'parwel'"),
    ("table nugraha/table1 --where part", "--where part. Expected: COLUMN=VALUE"),
    ("table nugraha/table1 --where part=dev --where part=eval", "--where part twice: dev, eval"),
    ("table nugraha/table1 --where prt=eval", "unknown column 'prt' .did you mean 'part'"),
    ("table nugraha/table1 --where part=test", "unknown part 'test'. Expected: dev, eval, full"),
    ("table parwal/table2 --profile big", "unknown profile 'big'"),
    ("data verify mir2k", "unknown dataset 'mir2k' .did you mean 'mir1k'"),
    ("data fetch synthetic-voice", "unknown dataset 'synthetic-voice'"),
    ("data make mir1k", "unknown stand-in 'mir1k'.*Expected: synthetic-voice"),
    ("data verify mir1k", "no folder for datasets is set.*--data-root"),
    ("data verify mir1k --data-root nowhere", "nowhere: no such folder for datasets"),
    ("book --profile huge", "unknown profile 'huge'"),
]


@pytest.mark.parametrize(("words", "said"), SPELT, ids=[words for words, _ in SPELT])
def test_bad_input_is_one_message(unmix, words, said):
    refused(unmix(*words.split()), said)


@pytest.mark.parametrize("words", ["run", "bogus", "run parwal --seeds -1", "table a --what"])
def test_a_usage_error_points_to_help(unmix, words):
    refused(unmix(*words.split()), "Try 'unmix.* --help' for help", 2)


def test_a_store_that_cannot_be_written_is_told(unmix, tmp_path):
    (tmp_path / "file").touch()
    words = ("run", "parwal/baselines", "--profile", "tiny", "--workers", "1")
    refused(unmix(*words, "--store", tmp_path / "file" / "x"), "cannot be written.*--store")
    refused(unmix(*words, "--store", tmp_path / "file"), "'--store'.* is a file, not a folder", 2)


@pytest.mark.parametrize("words", ["run parwal --store", "book --out", "data list --data-root"])
def test_an_empty_name_is_no_folder(unmix, words):
    refused(unmix(*words.split(), ""), "an empty name is no folder", 2)


# What a command tells beside its output.


def test_the_stand_in_is_told_to_whoever_names_a_data_root(interrupted, unmix, tmp_path):
    words = ("parwal/table4", "--profile", "tiny", "--data-root", tmp_path)
    told = f"note: this profile's runs are on the embedded stand-in (no mir1k lies in {tmp_path})\n"
    status, out, err = unmix("run", *words)
    assert (status, err) == (0, told)
    look = f"unmix table parwal/table4 --profile tiny --data-root {tmp_path} --own"
    assert out.endswith(f"Look at it: {look}\n")
    status, out, err = unmix("table", *words, "--csv")
    assert (status, err) == (0, told)
    assert out.startswith("model,loss,metric,")


def test_one_can_look_at_ones_own_runs(unmix, tmp_path, monkeypatch):
    monkeypatch.setenv("UNMIX_RESULTS", str(tmp_path))
    made = scores(x_1=7.0).assign(sar=100.0)
    fabricate(tmp_path / "parwal" / "f", spec_of(FULL, "Augmented"), "full", made)
    words = ("table", "parwal/table2", "--profile", "tiny", "--csv", "--store", tmp_path / "s")
    best, own = (unmix(*words, *more)[1].splitlines() for more in ((), ("--own",)))
    assert best[4] == "Augmented,GNSDR,7.1300,7.0000,,1,full,f"
    assert best[6] == "Augmented,GSAR,10.6400,,,1,full,f", "a score at the ceiling is none"
    assert own[4] == "Augmented,GNSDR,7.1300,,,0,,"


def test_version(unmix):
    assert unmix("--version") == (0, f"unmix {__version__}\n", "")


# Help and datasets.


@pytest.mark.parametrize("words", COMMANDS)
def test_help_teaches(unmix, words):
    status, out, err = unmix(*words.split(), "--help")
    assert (status, err) == (0, "")
    assert f"Usage: {' '.join(['unmix', *words.split()])}" in out
    wanted = {
        "": [
            "run",
            "table",
            "separate",
            "book",
            "data",
            "unmix run parwal/table2",
            "--version",
            *PAPERS,
        ],
        "data": ["list", "verify", "fetch", "make"],
        "data list": ["--data-root", "UNMIX_DATA"],
        "data verify": ["--data-root", "mir1k"],
        "data fetch": ["--data-root", "interrupted"],
        "data make": ["--out", "synthetic-voice"],
        "run": ["--profile", "--seeds", "--engine", "--scheduler", "--workers", "GPU=1", "Ctrl-C"],
        "plan": ["--profile", "--seeds", "--json", "upper bounds", "longest run go first"],
        "table": [
            "--csv",
            "--own",
            "--profile",
            "--seeds",
            "--where",
            "published",
            "spread",
            "fidelity",
        ],
        "separate": ["--system", "--out", "-o", "--system list", "8 kHz", "one factor"],
        "book": ["--profile", "--out", "--device", "dead link", "tiny"],
    }[words]
    plain = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    assert [word for word in wanted if word not in plain] == []


def test_data_list_says_what_is_here(unmix, tmp_path):
    def here():
        out = unmix("data", "list", "--data-root", tmp_path)[1]
        return re.search(r"mir1k\s+│\s+(\w[\w ]*\w)", out.replace("┃", "│")).group(1)

    assert here() == "no"
    (tmp_path / "MIR-1K" / "Wavfile").mkdir(parents=True)
    assert here() == "a part"
    status, out, _ = unmix("data", "list")
    assert status == 0
    assert "not set" in out
    assert "unmix data fetch mir1k --data-root data" in out
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


def test_museval_can_be_asked_instead(unmix):
    """Anchors need no training; the referee's scores stand beside ours, in runs of their own."""
    baselines = ["parwal/baselines", "--profile", "tiny"]
    tables = []
    for more in ([], ["--backend", "museval"]):
        status, out, _ = unmix("run", *baselines, "--workers", 1, *more)
        assert status == 0
        assert f"unmix table {' '.join([*baselines, *more])} --own" in out
        _, out, _ = unmix("table", *baselines, *more, "--own", "--csv")
        tables.append(pd.read_csv(io.StringIO(out)))
    ours, theirs = tables
    assert set(ours["runs"]).isdisjoint(theirs["runs"])
    # The mixture's SAR is rounding noise, which we leave out.
    noise = (ours["metric"] == "GSAR") & ours["reproduced"].isna()
    difference = (ours["reproduced"] - theirs["reproduced"])[~noise].abs().max()
    assert difference < 1.5e-4, "of numbers with four decimals"
