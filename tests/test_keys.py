"""Keys of runs: what must be made anew when it changes, and what need not."""

import ast
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import unmix
from unmix.datasets.mir1k import Mir1k
from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture
from unmix.runs import cluster, execute, source
from unmix.runs.cluster import complete
from unmix.runs.execute import code_modules, key
from unmix.runs.spec import Evaluation, Mixing, Spec, spec_from_plain
from unmix.runs.store import Store
from unmix.stft import STFT
from unmix.training.losses import Loss

# Keys.


def test_a_key_is_the_same_for_the_same(small_spec, make_dataset):
    again = spec_from_plain(small_spec.plain())
    assert key(small_spec, make_dataset()) == key(again, make_dataset())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"clips": (2, 1, 1)},
        {"mixing": Mixing(5.0)},
        {"stft": STFT(8000, 256, 64)},
        {"evaluation": Evaluation(taps=9)},
        {"evaluation": Evaluation(taps=8, mask="binary")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_key_changes_with_any_setting(small_spec, make_dataset, changes):
    other = dataclasses.replace(small_spec, **changes)
    assert key(other, make_dataset()) != key(small_spec, make_dataset())


def test_a_key_changes_with_network_and_training(small_spec, make_dataset):
    network = dataclasses.replace(small_spec.separator, units=13)
    training = dataclasses.replace(small_spec.training, loss=Loss("kl"))
    keys = {
        key(dataclasses.replace(small_spec, **changes), make_dataset())
        for changes in ({}, {"separator": network}, {"training": training})
    }
    assert len(keys) == 3


def test_a_key_changes_with_data_and_with_the_list_of_a_split(small_spec, make_dataset):
    before = key(small_spec, make_dataset())
    assert key(small_spec, make_dataset(seed=1)) != before
    moved = make_dataset()
    moved.splits["standin"] = {**moved.splits["standin"], "valid": ("dan_1_01",)}
    assert key(small_spec, moved) != before


def test_a_key_changes_with_code_and_libraries(small_spec, make_dataset, monkeypatch):
    before = key(small_spec, make_dataset())
    with monkeypatch.context() as patch:
        patch.setattr(source, "fingerprint", lambda modules: "edited")
        assert key(small_spec, make_dataset()) != before
    for library in (execute.torch, execute.np):
        with monkeypatch.context() as patch:
            patch.setattr(library, "__version__", "99")
            assert key(small_spec, make_dataset()) != before
    assert key(small_spec, make_dataset()) == before


# The fingerprint of the code.


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Write modules of a package that the fingerprint looks into, and return its fingerprint."""
    package = tmp_path / "unmix_trial"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def fingerprint(**modules):
        for name, text in modules.items():
            (package / f"{name}.py").write_text(text)
        source._tree.cache_clear()
        return source.fingerprint(["unmix_trial.top"])

    yield fingerprint
    source._tree.cache_clear()
    for name in [name for name in sys.modules if name.startswith("unmix_trial")]:
        del sys.modules[name]


TOP = '''"""Do it."""
from unmix_trial.low import half

def twice(x):
    """Twice."""
    return x / half
'''
LOW = "half = 0.5\n"


def test_comments_docstrings_and_layout_are_no_change(trial):
    before = trial(top=TOP, low=LOW)
    told = TOP.replace('"""Twice."""', '"""Return x\n\n    twice."""\n    # why').replace(
        "Do it", "So"
    )
    assert trial(top=told.replace("x / half", "(x\n        / half)"), low=LOW) == before
    assert trial(top=TOP, low='"""The half."""\nhalf = 0.5\n"""A half."""\n') == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x / half", "x * half"),
        ("x / half", "x / half / 1.0"),
        ("(x)", "(x, y=0)"),
        ("twice", "double"),
    ],
)
def test_any_other_edit_is_a_change(trial, old, new):
    before = trial(top=TOP, low=LOW)
    assert trial(top=TOP.replace(old, new), low=LOW) != before


@pytest.mark.parametrize(
    "line",
    ["from unmix_trial.low import half", "import unmix_trial.low", "from unmix_trial import low"],
)
def test_what_is_imported_counts_wherever_the_import_stands(trial, line):
    for top in (f"{line}\n", f"def run():\n    {line}\n"):
        assert trial(top=top, low=LOW) != trial(top=top, low="half = 0.25\n")


def test_other_modules_do_not_count(trial):
    before = trial(top=TOP, low=LOW, beside="x = 1\n")
    assert trial(top=TOP, low=LOW, beside="x = 2\n") == before


def test_all_that_produces_a_score_counts_and_no_more(small_spec):
    network = set(source.producing_modules(code_modules(small_spec)))
    assert {
        "unmix.audio",
        "unmix.masks",
        "unmix.metrics.bsseval",
        "unmix.metrics.scores",
        "unmix.models.recurrent",
        "unmix.models.separator",
        "unmix.runs.execute",
        "unmix.stft",
        "unmix.training.examples",
        "unmix.training.losses",
        "unmix.training.minibatch",
        "unmix.datasets.standin",
        "unmix.datasets.synthetic",
    } <= network
    assert not {"unmix.models.nmf", "unmix.models.oracle"} & network
    assert not [name for name in network if name.startswith(("unmix.report", "unmix.papers"))]
    plain = dataclasses.replace(small_spec, separator=ConvolutiveNmf(), training=None)
    assert "unmix.models.nmf" in source.producing_modules(code_modules(plain))
    real = Spec("mir1k", "paper", Mixture())
    assert "unmix.datasets.mir1k" in source.producing_modules(code_modules(real))


def test_the_code_of_one_dataset_does_not_count_for_another(small_spec):
    counted = source.producing_modules(code_modules(small_spec))
    assert not {"unmix.datasets.mir1k", "unmix.datasets.remote"} & set(counted)


def test_no_module_imports_in_a_way_that_the_fingerprint_overlooks():
    for path in Path(unmix.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not line.lstrip().startswith("from ."), f"{path.name}: relative import"


# Edits of the package itself, in a copy.

EDITED = """
import json, sys
from pathlib import Path
import unmix
from conftest import TinyDataset
from unmix.runs import source
from unmix.runs.execute import key
from unmix.runs.spec import spec_from_plain

package, spec = Path(unmix.__file__).parent, spec_from_plain(json.loads(sys.argv[1]))
found = [str(package)]
for edit in json.load(sys.stdin):
    before = {path: (package / path).read_text() for path in edit}
    for texts in (edit, before):
        for path, text in texts.items():
            (package / path).write_text(text)
        if texts is edit:
            source._tree.cache_clear()
            found.append(key(spec, TinyDataset()))
print(json.dumps(found))
"""

PLACES = {
    "model": ("models/recurrent.py", "forward"),
    "mask": ("masks.py", "soft"),
    "loss": ("training/losses.py", "squared_error"),
    "chunking": ("training/examples.py", "covering"),
    "mixing": ("audio.py", "mix"),
    "training": ("training/minibatch.py", "note"),
    "transform": ("stft.py", "bins"),
    "metric": ("metrics/bsseval.py", "_decibel"),
    "decomposition behind it": ("metrics/decomposition.py", "energies_of"),
    "dataset": ("datasets/synthetic.py", "write_song"),
    "what datasets share": ("datasets/standin.py", "recipe"),
}
"""By what it does: a file of the package and a function in it that decides scores."""

ELSEWHERE = ["report/tables.py", "models/nmf.py", "papers/parwal.py", "runs/remote.py", "files.py"]
"""What decides no score of a network."""


def function(text, name):
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    return next(node for node in found if node.name == name)


def computing_otherwise(text, name):
    """The source with the first sum or product of a function doubled."""
    sums = (node for node in ast.walk(function(text, name)) if isinstance(node, ast.BinOp))
    node = next(node for node in sums if node.lineno == node.end_lineno)
    lines = text.splitlines(keepends=True)
    line = lines[node.lineno - 1].encode()
    was = line[node.col_offset : node.end_col_offset]
    new = line[: node.col_offset] + b"(2 * (" + was + b"))" + line[node.end_col_offset :]
    lines[node.lineno - 1] = new.decode()
    return "".join(lines)


def telling_more(text, name):
    """The source with more in the docstrings of module and function, comments and empty lines."""
    node, lines = function(text, name), text.splitlines(keepends=True)
    indent = " " * node.body[-1].col_offset
    lines.insert(node.body[-1].lineno - 1, f"{indent}# Said more clearly.\n\n")
    docstring = node.body[0]
    if ast.get_docstring(node):
        lines[docstring.lineno - 1] = lines[docstring.lineno - 1].replace('"""', '"""More: ', 1)
    else:
        lines.insert(docstring.lineno - 1, f'{indent}"""More."""\n')
    told = "".join(lines).replace('"""', '"""More of it. ', 1)
    assert told.count("More") >= 2
    return told


@pytest.fixture(scope="module")
def edited(small_spec, tmp_path_factory):
    """The key that `small_spec` has in a copy of the package, by the edit that was made there."""
    home = tmp_path_factory.mktemp("copy")
    package = home / "unmix"
    shutil.copytree(Path(unmix.__file__).parent, package, ignore=shutil.ignore_patterns("__pyc*"))
    edits = {"nothing": {}, "words": {}, "elsewhere": {}}
    for what, (path, name) in PLACES.items():
        text = (package / path).read_text()
        edits[what] = {path: computing_otherwise(text, name)}
        edits["words"][path] = telling_more(text, name)
    for path in ELSEWHERE:
        edits["elsewhere"][path] = (package / path).read_text() + "\nEDITED = 1\n"
    ended = subprocess.run(
        [sys.executable, "-c", EDITED, json.dumps(small_spec.plain())],
        input=json.dumps(list(edits.values())),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(home), str(Path(__file__).parent)])},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    where, *keys = json.loads(ended.stdout)
    assert where == str(package), "the copy was not what was imported"
    return dict(zip(edits, keys, strict=True))


@pytest.mark.parametrize("what", PLACES)
def test_an_edit_of_what_decides_scores_makes_another_key(edited, what):
    others = [found for name, found in edited.items() if name != what]
    assert edited[what] not in others


def test_edits_of_docstrings_and_comments_there_and_of_code_elsewhere_make_none(edited):
    assert edited["words"] == edited["nothing"]
    assert edited["elsewhere"] == edited["nothing"]


# Files, devices, workers.


def test_a_changed_file_of_the_dataset_makes_another_key(small_spec, tmp_path):
    folder = tmp_path / "MIR-1K" / "Wavfile"
    folder.mkdir(parents=True)
    for name in ("abjones_1_01", "abjones_5_08", "amy_9_01", "stool_1_01"):
        soundfile.write(folder / f"{name}.wav", np.zeros((800, 2)), 16_000)
    spec = dataclasses.replace(small_spec, dataset="mir1k", split="huang")

    def found():
        return key(spec, Mir1k(tmp_path, complete=False))

    before, path = found(), folder / "amy_9_01.wav"
    content = path.read_bytes()
    path.touch()
    assert found() == before, "what a file holds counts, not when it was written"
    path.write_bytes(content[:-1] + b"\1")
    assert found() != before
    path.write_bytes(content)
    assert found() == before


def test_neither_device_nor_workers_nor_engine_ask_for_the_run_again(
    small_spec, make_dataset, tmp_path, monkeypatch
):
    dataset = make_dataset()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
    spec = dataclasses.replace(small_spec, separator=Mixture(), training=None)
    wanted = complete([spec], Store(tmp_path), workers=1, device="cpu")
    monkeypatch.setattr(cluster, "carry_out", lambda *args, **more: pytest.fail("made again"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for more in (
        {"device": "cuda:1"},
        {"device": "auto"},
        {"workers": 7},
        {"engine": "dask", "workers": 2},
    ):
        assert complete([spec], Store(tmp_path), **more) == wanted
