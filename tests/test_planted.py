"""Nothing in a store, an archive or a table of contents can execute: what is planted there stays
dead, and the package has no road from a file to code.
"""

import contextlib
import io
import json
import pickle
import re
import tokenize
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
import yaml

from unmix.book import notebooks
from unmix.errors import CheckpointError, DatasetError, SpecError, StoreError, UnmixError
from unmix.report import inventory
from unmix.runs import checksums, cluster, registry, remote
from unmix.runs.cluster import complete
from unmix.runs.execute import restore
from unmix.runs.spec import spec_from_plain
from unmix.runs.store import Store
from unmix.runs.watching import epochs_file

ROOT = Path(__file__).resolve().parents[1]
FILES = ("spec.json", "provenance.json", "scores.csv", "history.csv", "model.safetensors")


class Planted:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def written(write, *things):
    buffer = io.BytesIO()
    write(*things, buffer)
    return buffer.getvalue()


FORMS = {
    "pickle": (lambda plant: written(pickle.dump, plant), pickle.load),
    "torch": (
        lambda plant: written(torch.save, {"weights": plant}),
        lambda file: torch.load(file, weights_only=False),
    ),
    "numpy": (
        lambda plant: written(lambda array, file: np.save(file, array), np.array([plant])),
        lambda file: np.load(file, allow_pickle=True),
    ),
    "joblib": (lambda plant: written(joblib.dump, plant), joblib.load),
}
"""How a plant is written, and how it would be read by a program that trusts it."""


@pytest.fixture
def tiny(make_dataset, monkeypatch):
    dataset = make_dataset()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
    return dataset


@pytest.fixture
def run(small_spec, tiny, tmp_path):
    return complete([small_spec], Store(tmp_path / "runs"), workers=1, device="cpu")[0]


@pytest.fixture(params=FORMS)
def plant(request, tmp_path):
    """The bytes of a plant; afterwards it is made sure that nobody let it loose, but they could."""
    write, trust = FORMS[request.param]
    trace = tmp_path / "executed"
    content = write(Planted(trace))
    yield content
    assert not trace.exists(), "the plant was executed"
    with contextlib.suppress(Exception):
        trust(io.BytesIO(content))
    assert trace.exists(), "the plant would have worked"


def read_everything(store, run):
    """Read a store in all ways; whatever is no `UnmixError` comes out."""
    ways = [run.spec, run.settings, run.provenance, run.scores, run.history]
    ways += [lambda: restore(run.spec(), run.weights), lambda: registry.sound(run)]
    ways += [lambda: registry.listing(store.root), lambda: registry.verify(store.root)]
    ways += [lambda: inventory.places(store.root), lambda: registry.diff(run, run)]
    ways += [lambda: store.get(run.key), lambda: Store(store.root).runs()]
    said = []
    for way in ways:
        try:
            way()
        except UnmixError as error:
            said.append(str(error))
    return " ".join(said)


@pytest.mark.parametrize("name", [*FILES, "checksums.json"])
@pytest.mark.parametrize("how", ["with", "without"])
def test_a_plant_in_place_of_a_file_does_nothing_and_is_named(run, plant, name, how):
    store = Store(run.folder.parent)
    (run.folder / name).write_bytes(plant)
    if how == "without" and name != "checksums.json":  # as in runs from before checksums
        (run.folder / "checksums.json").unlink()
        if name != "provenance.json":
            about = json.loads((run.folder / "provenance.json").read_text())
            del about["checksums"]
            (run.folder / "provenance.json").write_text(json.dumps(about))
    assert f"{run.folder / name}: " in read_everything(store, run)


def test_a_plant_beside_the_files_does_nothing_and_is_damage(run, plant):
    store = Store(run.folder.parent)
    (run.folder / "scores.pkl").write_bytes(plant)
    (run.folder / "scores.npy").write_bytes(plant)
    assert "scores.npy: was not written by the run" in read_everything(store, run)
    (found,) = registry.verify(store.root)
    assert len(found.damage) == 2


@pytest.mark.parametrize("name", [registry.INDEX, inventory.FAMILIES, remote.MARK])
def test_a_plant_in_place_of_a_cache_does_nothing(run, plant, name):
    store = Store(run.folder.parent)
    (store.root / name).write_bytes(plant)
    if name == remote.MARK:
        with pytest.raises(StoreError, match=r"remote\.json: cannot be read"):
            Store(store.root)
        (store.root / name).unlink()
    assert read_everything(store, run) == ""
    assert [entry.key for entry in registry.listing(store.root)] == [run.key]


def test_a_plant_in_place_of_a_checkpoint_does_nothing(small_spec, tiny, run, plant):
    store = Store(run.folder.parent)
    store.quarantine(run.key)
    partial = store.root / "partial" / run.key
    partial.mkdir()
    (partial / "checkpoint.safetensors").write_bytes(plant)
    epochs_file(store.root, run.key).write_bytes(b"[]\n")
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors: cannot be read.*delete"):
        complete([small_spec], store, workers=1, device="cpu")
    (partial / "checkpoint.safetensors").unlink()
    (again,) = complete([small_spec], store, workers=1, device="cpu")
    assert checksums.damage(again.folder) == []


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "unmix.models.oracle:Mixture"])
def test_a_spec_names_no_code(small_spec, name):
    data = small_spec.plain()
    with pytest.raises(SpecError, match=f"unknown separator '{name}'"):
        spec_from_plain({**data, "separator": {"kind": name}, "training": None})
    elsewhere = spec_from_plain({**data, "dataset": name})
    with pytest.raises(DatasetError, match=f"unknown dataset '{name}'"):
        complete([elsewhere], Store("nowhere"))


def test_a_plant_in_a_table_of_contents_does_nothing(tmp_path):
    trace = tmp_path / "executed"
    text = f"root: !!python/object/apply:os.mkdir ['{trace}']\n"
    (tmp_path / "_toc.yml").write_text(text)
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        notebooks(tmp_path)
    assert not trace.exists()
    yaml.load(text, Loader=yaml.UnsafeLoader)
    assert trace.exists(), "the plant would have worked"


# The package itself.


FORBIDDEN = {
    "pickle": r"\bc?[pP]ickle\b|cloudpickle|(read|to)_(pickle|hdf)|\bdill\b|\bshelve\b|\bmarshal\b",
    "joblib": r"joblib\.(load|dump|Memory)|from joblib import .*\b(load|dump|Memory)\b",
    "torch": r"torch\.(load|save|jit\.load|hub)\b|from torch import .*\b(load|save)\b",
    "yaml": r"yaml\.(load|load_all|full_load|unsafe_load)\b|yaml import .*\bload\b|UnsafeLoader",
    "numpy": r"allow_pickle\s*=\s*(?!False)",
    "eval": r"(?<![\w.])(eval|exec)\(|\b(pd|pandas)\.eval\(",
    "shell": r"shell\s*=\s*True|os\.(system|popen)\(",
    "archive": r"unpack_archive|\.extract(all)?\(",
}

UNPACKING = ("src/unmix/datasets/remote.py", "archive")
"""The one place that unpacks, which `test_unpack.py` tries with archives that mean harm."""


def code():
    """All Python of the project but its tests, by file; of notebooks the cells with code."""
    for top in ("src", "benchmarks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        lines = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield str(path.relative_to(ROOT)), "\n".join(lines)


def without_words(text):
    """The lines of a source with its strings and comments taken out of them."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.STRING):
            continue
        (first, start), (last, end) = token.start, token.end
        for row in range(first - 1, last):
            line = lines[row]
            begin = start if row == first - 1 else 0
            stop = end if row == last - 1 else len(line)
            lines[row] = line[:begin] + " " * (stop - begin) + line[stop:]
    return lines


@pytest.fixture(scope="module")
def lines():
    """File, number and text of each line of code."""
    return [
        (name, number, line)
        for name, text in code()
        for number, line in enumerate(without_words(text), 1)
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_package_has_no_road_from_a_file_to_code(lines, what):
    pattern = re.compile(FORBIDDEN[what])
    found = [(name, number, line) for name, number, line in lines if pattern.search(line)]
    assert [each for each in found if (each[0], what) != UNPACKING] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "pd.read_pickle(path)",
        "joblib.load(path)",
        'torch.load("weights.pt")',
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "shutil.unpack_archive(path)",
    ],
)
def test_the_search_finds_what_it_looks_for(line):
    text = f'"""A docstring.\n\nimport it"""; x = "y"; {line}  # "nothing"'
    (found,) = [each for each in without_words(text) if each.strip()]
    assert any(re.search(pattern, found) for pattern in FORBIDDEN.values())


def test_the_search_passes_what_is_harmless():
    for line in (
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "network.eval()",
        '"a pickle"  # a pickle',
    ):
        (found,) = without_words(line)
        assert not any(re.search(pattern, found) for pattern in FORBIDDEN.values())
