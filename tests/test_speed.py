"""Training and separation speed, as the book shows what the benchmarks wrote."""

import json
import re
from functools import partial

import pytest

from unmix.errors import UnmixError
from unmix.report import measured, speed

GRU, LSTM, PLAIN = speed.SIDE_BY_SIDE
ABOUT = {
    "title": "Training",
    "command": "python benchmarks/x.py",
    "made": "2026-01-02",
    "machine": {"architecture": "abacus", "cores": 2, "load": 1.25, "load_after": 2},
    "device": "CPU, one thread",
}


def step(what, rated, precision="float32"):
    return {
        "what": what,
        "seconds": [99.0],
        "rated": rated,
        "precision": precision,
        "batch": 8,
        "audio_s": 16.0,
        "gflop": 100.0,
        "weights": 18_200_000,
    }


SYSTEMS = {
    **ABOUT,
    "peak_gflops": {"float32": 200.0, "bfloat16": 1000.0},
    "rows": [
        step(GRU, [2.0, 1.0, 4.0]),
        step(LSTM, [4.0, 1.5, 4.0]),
        step("SH-4stack, bfloat16", [0.5, 0.5, 0.5], "bfloat16"),
    ],
}


def song(system, minutes, seconds, beside, **more):
    row = {"system": system, "minutes": minutes, "seconds": [seconds], "beside_mib": beside}
    return {**row, "precision": "float32", "at_once": False, "part": 1.0, "song_mib": 30.3, **more}


SONGS = {
    **ABOUT,
    "rows": [
        song("Proposed", 3, 90.0, 120.4),
        song("Proposed", 3, 60.0, 1500, at_once=True),
        song("SH-4stack", 12, 3600.0, 800, part=0.1),
    ],
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a record where the book looks for it."""
    monkeypatch.setattr(measured, "results_folder", lambda name: tmp_path)
    return lambda name, found: (tmp_path / f"{name}.json").write_text(json.dumps(found))


def test_sound_a_second_and_share_of_the_peak(written):
    written("systems-lai", {"cpu": SYSTEMS})
    lines = repr(speed.training("lai")).splitlines()
    assert lines[0] == "Training (CPU, one thread)"
    assert lines[1] == (
        "Proposed: GRU, 3 × 1000, float32, 18.2 M, 8 × 2.00 s, 8 (4 to 16), 50, 25 %"
    )
    assert lines[3] == "SH-4stack, bfloat16, 18.2 M, 8 × 2.00 s, 32 (32 to 32), 200, 20 %"
    assert "the median of 3 steps" in lines[4]
    assert "200 GFLOP/s in float32 and 1,000 GFLOP/s in bfloat16" in lines[5]


def test_the_lstm_is_held_against_the_gru_turn_by_turn(written):
    written("systems-lai", {"cpu": SYSTEMS})
    said = repr(speed.training("lai"))
    # The ratio of the medians would be 2.
    assert "1.50 times as long as one of the GRU (1.00 to 2.00 over the turns)" in said
    assert PLAIN.replace(" x ", " × ") not in said, "it was not measured"
    written("systems-lai", {"cpu": {**SYSTEMS, "rows": SYSTEMS["rows"][1:]}})
    assert "as long as" not in repr(speed.training("lai"))


LAYERS = {
    **ABOUT,
    "matrix_peak_gflops": 100.0,
    "rows": [
        {"what": "L-BFGS iteration, 5 layers, 1000 vectors", "seconds": [2.0], "vectors": 1000,
         "evaluations_per_iteration": 1.5, "peak_share": 0.5},
        {"what": "Making 1024 vectors", "seconds": [0.04], "vectors_per_s": 25600},
        {"what": "Least squares, streamed, 9000 vectors", "seconds": [3.0], "vectors": 9000,
         "way": "streamed", "beside_mib": 50.0},
        {"what": "Least squares, straightforward, 9000 vectors", "seconds": [6.0],
         "vectors": 9000, "way": "straightforward", "beside_mib": 200.0},
    ],
}  # fmt: skip


def test_layers_tell_vectors_a_second_and_what_streaming_saves(written):
    written("layerwise", {"cpu": LAYERS})
    lines = repr(speed.layers()).splitlines()
    assert lines[1:5] == [
        "L-BFGS iteration, 5 layers, 1000 vectors, 2 s, 750, 50 %, ",
        "Making 1024 vectors, 40 ms, 25,600, , ",
        "Least squares, streamed, 9000 vectors, 3 s, 3,000, , 50 MiB",
        "Least squares, straightforward, 9000 vectors, 6 s, 1,500, , 200 MiB",
    ]
    assert "9,000 vectors streamed take 0.50 of the time and 0.25 of the memory" in "".join(lines)
    written("layerwise", {"cpu": {**LAYERS, "rows": LAYERS["rows"][:3]}})
    assert "straightforward" not in repr(speed.layers())


def test_songs_that_ended_early_are_marked(written):
    written("separating-lai", {"cpu": SONGS})
    lines = repr(speed.separation("lai")).splitlines()
    assert lines[1:4] == [
        "Proposed, float32, 3 min, 30 MiB, 90 s, 2, 120 MiB",
        "Proposed, the song at once, float32, 3 min, 30 MiB, 60 s, 3, 1,500 MiB",
        "SH-4stack, float32, 12 min, 30 MiB, 3600 s*, 0.2, 800 MiB",
    ]
    assert any(line.startswith("*: ended before the song did") for line in lines)
    written("separating-lai", {"cpu": {**SONGS, "rows": SONGS["rows"][:2]}})
    assert "*" not in repr(speed.separation("lai"))


def test_every_device_has_a_table_the_cpu_first(written):
    on_gpu = [song("Proposed", 3, 1.0, 120.4, device_mib=5000)]
    written("separating-lai", {"cuda": {**SONGS, "rows": on_gpu, "device": "X <9>"}, "cpu": SONGS})
    shown = speed.separation("lai")
    assert re.findall(r"<caption>(.*?)</caption>", shown.markup) == [
        "Training (CPU, one thread)",
        "Training (X &lt;9&gt;)",
    ]
    assert "120 MiB, GPU 5,000 MiB" in repr(shown)


def test_where_when_and_how_stand_below(written):
    written("separating-lai", {"cpu": SONGS})
    said = repr(speed.separation("lai"))
    assert "on 2026-01-02, on 2 cores (abacus), with a load of 1.25 from other work" in said
    assert "To repeat: python benchmarks/x.py" in said


@pytest.mark.parametrize(
    "show",
    [
        partial(speed.training, "lai"),
        partial(speed.separation, "li"),
        speed.layers,
    ],
)
def test_without_a_measurement_the_page_says_how_to_make_one(tmp_path, monkeypatch, show):
    monkeypatch.setattr(measured, "results_folder", lambda name: tmp_path)
    assert "Not measured yet: python benchmarks/" in repr(show())


def test_what_measures_one_papers_systems_is_told_which(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "results_folder", lambda name: tmp_path)
    assert "python benchmarks/systems.py --paper li --record" in repr(speed.training("li"))


@pytest.mark.parametrize("found", [[], {"cpu": {}}, {"cpu": {**SYSTEMS, "rows": [{}]}}])
def test_another_file_is_one_clear_error(written, found):
    written("systems-lai", found)
    with pytest.raises(UnmixError, match=r"systems-lai\.json: cannot be read .*measure again"):
        speed.training("lai")
