"""The real notebooks: each runs by itself, and what it shows leads to the runs behind it.

The tiny book executes all of them.
"""

import json
import subprocess
import sys
from pathlib import Path

from unmix import gates
from unmix.report.drawings import Drawings

ROOT = Path(__file__).resolve().parents[1]


def outputs(path):
    """The text of all outputs of a notebook."""
    cells = json.loads(path.read_text())["cells"]
    return json.dumps([item for cell in cells for item in cell.get("outputs", [])])


def figures_without_runs(path):
    """The cells with a picture that lead to no run."""
    cells = json.loads(path.read_text())["cells"]
    said = [json.dumps(cell.get("outputs", [])) for cell in cells]
    return [n for n, text in enumerate(said) if "image/png" in text and "-runs.json" not in text]


def test_papermill_alone_executes_a_notebook(tmp_path, standin_cache, monkeypatch):
    monkeypatch.setenv("UNMIX_STORE", str(tmp_path / "runs"))
    monkeypatch.setenv("UNMIX_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    source, done = ROOT / "notebooks" / "parwal" / "table2.ipynb", tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(done), "-p", "profile", "tiny"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    gates.check_notebook(done)
    assert "a stand-in, not the paper" in outputs(done)
    assert figures_without_runs(done) == []
    assert len(list((tmp_path / "media").glob("parwal-table2-*.mp3"))) == 7
    assert len(list((tmp_path / "runs").glob("*/scores.csv"))) == 7


def test_papermill_with_the_folder_of_its_output_and_a_wrong_profile(tmp_path, standin_cache):
    """As the README has it: `--cwd` is where the players' files go."""
    source, done = ROOT / "notebooks" / "parwal" / "table2.ipynb", tmp_path / "out" / "out.ipynb"
    done.parent.mkdir()
    command = [sys.executable, "-m", "papermill", str(source), str(done), "--cwd", str(done.parent)]
    ended = subprocess.run(
        [*command, "-p", "profile", "quik"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert "unknown profile 'quik' (did you mean 'quick'?). Expected: tiny, quick, full." in last


def test_no_notebook_keeps_a_figure_from_showing_its_runs():
    """A semicolon behind a call would show the figure alone."""
    drawing = [name for name, kind in Drawings.__dict__.items() if _draws(kind)]
    assert sorted(drawing) == [
        "boxplot",
        "courses",
        "histories",
        "spectrograms",
        "stages",
        "trends",
    ]
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            source = "".join(cell["source"]).rstrip()
            if any(f".{name}(" in source for name in drawing):
                assert not source.endswith(";"), f"{path.name}, cell {number}"


def _draws(method):
    return getattr(method, "__annotations__", {}).get("return") == "Drawn"
