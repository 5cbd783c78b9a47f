"""The files around the package agree with each other and with the package."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import unmix

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)


def by_name(lines):
    found = {}
    for line in lines:
        requirement = Requirement(line)
        found[canonicalize_name(requirement.name)] = requirement
    return found


def wanted():
    """What pyproject.toml asks for, extras included."""
    lines = list(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        lines += extra
    return by_name(lines)


def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return by_name(line for line in lines if line and not line.startswith("#"))


def toc():
    """Every file that the table of contents names, in order."""

    def files(node):
        if isinstance(node, list):
            for item in node:
                yield from files(item)
        elif isinstance(node, dict):
            yield from (str(node[key]) for key in ("root", "file") if key in node)
            for value in node.values():
                yield from files(value)

    return list(files(yaml.safe_load((ROOT / "_toc.yml").read_text())))


def test_conda_environment_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert "-c requirements.lock" in pip
    assert "-e ." in pip
    listed = by_name(line for line in pip if not line.startswith("-"))
    assert {n: (r.specifier, r.extras) for n, r in listed.items()} == {
        n: (r.specifier, r.extras) for n, r in wanted().items()
    }
    (python,) = [entry for entry in conda if entry.startswith("python=")]
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert python == f"python={lowest}", "conda users get the oldest Python that is supported"


def test_lock_pins_exactly_and_satisfies_pyproject():
    pins = locked()
    for name, pin in pins.items():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", f"{name} is not pinned"
        assert "+" not in specifier.version, f"{name}: a local version fits one machine"
    for name, requirement in wanted().items():
        assert name in pins, f"{name} stands in pyproject.toml but not in requirements.lock"
        (specifier,) = pins[name].specifier
        assert requirement.specifier.contains(specifier.version), f"{name}: {specifier}"
    assert str(pins["torch"].specifier) == "==2.13.0"


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == unmix.__version__ == str(citation["version"])
    assert f"[{unmix.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_one_licence_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["license"]["text"] == citation["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


@pytest.mark.parametrize(
    "name",
    [
        "jupyter-book",
        "jupyterlab",
        "librosa",
        "museval",
        "numpy",
        "pandas",
        "papermill",
        "seaborn",
        "torch",
    ],
)
def test_the_packages_the_project_is_built_on_are_required(name):
    required = by_name(PROJECT["dependencies"])
    assert name in required
    assert len(required[name].specifier) > 0, f"{name} has no version bound"


def test_jupyter_book_stays_below_version_2():
    assert not by_name(PROJECT["dependencies"])["jupyter-book"].specifier.contains("2.0.0")


def test_ci_and_workflows_call_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"book", "test", "lab", "lint", "clean", "help"} <= targets
    files = [ROOT / ".ci/run", *sorted((ROOT / ".github/workflows").glob("*.yml"))]
    assert len(files) == 3
    for path in files:
        called = set(re.findall(r"\bmake ([a-z]+)", path.read_text()))
        assert called, path
        assert called <= targets, f"{path.name} calls {sorted(called - targets)}"


def test_every_entry_of_the_toc_is_a_file_and_stands_there_once():
    entries = toc()
    assert len(entries) == len(set(entries))
    for entry in entries:
        found = [ROOT / (entry + ending) for ending in (".md", ".ipynb")]
        assert any(path.is_file() for path in found), f"_toc.yml names {entry}, which is no file"


def test_every_page_and_notebook_stands_in_the_toc():
    pages = [*NOTEBOOKS, *(ROOT / "book").rglob("*.md")]
    names = {str(page.relative_to(ROOT).with_suffix("")) for page in pages}
    assert names <= set(toc()), f"missing from _toc.yml: {sorted(names - set(toc()))}"


def test_notebooks_are_stored_without_outputs():
    for path in NOTEBOOKS:
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            if cell["cell_type"] == "code":
                where = f"{path.relative_to(ROOT)}, cell {number}"
                assert cell["outputs"] == [], f"{where} holds outputs"
                assert cell["execution_count"] is None, f"{where} holds an execution count"


def test_notebooks_say_their_kernel_language_and_parameters():
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text())
        where = path.relative_to(ROOT)
        assert notebook["metadata"]["kernelspec"]["name"] == "python3", where
        assert notebook["metadata"]["language_info"]["name"] == "python", where
        tagged = [
            cell
            for cell in notebook["cells"]
            if "parameters" in cell.get("metadata", {}).get("tags", [])
        ]
        assert len(tagged) == 1, f"{where}: papermill needs one cell with the tag 'parameters'"


def test_bibliography_has_no_key_twice():
    text = (ROOT / "book" / "references.bib").read_text()
    keys = re.findall(r"^@\w+\{([^,\s]+),", text, flags=re.MULTILINE)
    assert keys
    assert len(keys) == len(set(keys))


def test_no_page_has_two_first_level_headings():
    for path in (ROOT / "book").rglob("*.md"):
        text = re.sub(r"^(`{3,}|:{3,}).*?^\1\s*$", "", path.read_text(), flags=re.DOTALL | re.M)
        assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) == 1, path.name
