"""From notebooks to a book: papermill, gates, Jupyter Book, gates.

The book is built in a staging tree, where each executed notebook stands at its own path, and put
in place whole. What an executed notebook rests on (its text, the package, parameters, evidence) is
hashed, so that a build with nothing changed executes nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from unmix import gates
from unmix.datasets.catalogue import MODULES, available
from unmix.errors import BookError
from unmix.report.player import FOLDER as MEDIA
from unmix.runs.places import checkout, store_folder
from unmix.runs.store import Store

LIMITS = {"tiny": 600, "quick": 3600, "full": 7 * 24 * 3600}
"""Longest time in seconds that one notebook may take, by profile."""

OWN = {"book.py", "gates.py", "cli.py", "commands"}
"""Modules and folders of them that no notebook rests on."""

PLACES = ("UNMIX_DATA", "UNMIX_STORE", "UNMIX_RESULTS")
"""Environment variables that decide what a notebook finds."""

FOLDERS = (*PLACES, "UNMIX_CACHE")
"""Environment variables that name folders."""


def build(parameters: Mapping[str, Any], out: Path | None = None, workers: int = 0) -> Path:
    """Execute the notebooks, build the book, and return the path of its first page.

    Args:
        parameters: papermill's, the same for every notebook.
        out: where to build; None takes `_build/` in the checkout.
        workers: notebooks at a time; 0 takes two for `tiny` and one for other profiles, whose runs
            take all cores and have their time measured.

    Raises:
        BookError: a notebook or a page did not pass a gate, or a file cannot be written.
        SpecError: the profile is unknown.
        DatasetError: a dataset that the profile needs is missing or incomplete.
    """
    from unmix.papers.evidence import ready, stand_in_note
    from unmix.papers.experiment import PAPERS

    for paper in PAPERS:
        given = paper, parameters["profile"], parameters["data_root"]
        ready(*given)
        if note := stand_in_note(*given):
            print(note, flush=True)
    root = checkout()
    try:
        return _build(root, _anchored(parameters), out, workers)
    except OSError as error:
        raise BookError(
            f"{error.filename or out or root}: {error.strerror or error}",
            do="free some disk space, choose another folder with --out, or restore the file",
        ) from error


def _build(root: Path, parameters: Mapping[str, Any], out: Path | None, workers: int) -> Path:
    if not (root / "_toc.yml").is_file():
        raise BookError(f"{root}: holds no book", expected="_toc.yml", do="run it in the checkout")
    out = (out or root / "_build").resolve()
    stage, executed = out / "stage", out / "executed" / parameters["profile"]
    began = time.perf_counter()
    _copy_sources(root, stage)
    execute = functools.partial(_execute, root, stage, executed, parameters)
    usual = min(2, os.cpu_count() or 1) if parameters["profile"] == "tiny" else 1
    times = _execute_all(notebooks(root), execute, workers or usual)
    started = time.perf_counter()
    _sphinx(stage)
    times["pages"] = time.perf_counter() - started
    started = time.perf_counter()
    built = stage / "_build" / "html"
    _copy_media(stage, built)
    _write_records(built, parameters)  # before the checks: pages may lead to it
    times["verdicts and audits"] = time.perf_counter() - started
    started = time.perf_counter()
    gates.check_pages(built)
    times["checks"] = time.perf_counter() - started
    final = out / "html"
    _replace(built, final)
    for part, seconds in times.items():
        print(f"{part:44s} {seconds:7.1f} s")
    print(f"{'together':44s} {time.perf_counter() - began:7.1f} s")
    print(f"The book: {final / 'index.html'}")
    return final / "index.html"


def _anchored(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with whole paths: notebooks run in folders of their own."""
    folders = {name: parameters[name] for name in ("data_root", "store") if parameters.get(name)}
    return {**parameters, **{name: _whole(value) for name, value in folders.items()}}


def _whole(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _replace(built: Path, final: Path) -> None:
    """Put a copy of the folder `built` in the place of `final`, complete or not at all."""
    new, old = final.with_name(".html.new"), final.with_name(".html.old")
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(built, new)
    if final.exists():
        os.replace(final, old)
    os.replace(new, final)
    shutil.rmtree(old, ignore_errors=True)


def notebooks(root: Path) -> list[str]:
    """Return the notebooks that the table of contents names, in its order, without endings."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if str(node.get("file", "")).startswith("notebooks/"):
                found.append(node["file"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(toc)
    return found


def _copy_sources(root: Path, stage: Path) -> None:
    """Put settings and prose into the staging tree; files that are gone disappear there too."""
    stage.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(root / name, stage / name)
    shutil.rmtree(stage / "book", ignore_errors=True)
    shutil.copytree(root / "book", stage / "book")
    shutil.rmtree(stage / "notebooks", ignore_errors=True)


def _state(root: Path, name: str, parameters: Mapping[str, Any]) -> str:
    """Return a hash over everything that an executed notebook rests on."""
    whole = hashlib.sha256(json.dumps(dict(parameters), sort_keys=True).encode())
    whole.update(repr([os.environ.get(name) for name in PLACES]).encode())
    package = Path(__file__).parent
    files = [root / f"{name}.ipynb"]
    files += sorted(
        path
        for path in package.rglob("*")
        if path.suffix in {".py", ".csv", ".json", ".yml", ".yaml"}
        and not OWN & set(path.relative_to(package).parts)
    )
    results = Path(os.environ.get("UNMIX_RESULTS") or root / "results")
    files += sorted(path for path in results.rglob("*") if path.suffix in {".csv", ".json"})
    whole.update(repr(_better(parameters)).encode())
    for path in files:
        whole.update(f"{path.relative_to(root) if root in path.parents else path.name}\n".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _better(parameters: Mapping[str, Any]) -> list[str]:
    """Return what decides the evidence shown, beside the notebook's own runs.

    That is whether the dataset is there, and `full` runs in the store (under profile `full` they
    are the notebook's own).
    """
    here = [name for name in MODULES if available(name, parameters.get("data_root"))]
    if parameters["profile"] == "full":
        return here
    runs = Store(store_folder(parameters.get("store"))).runs()
    return here + [run.key for run in runs if run.provenance()["fidelity"] == "full"]


def _execute_all(
    names: Sequence[str], execute: Callable[[str], bool], workers: int
) -> dict[str, float]:
    """Execute notebooks, folders side by side, and return the seconds that each took.

    Those of one folder follow one another, since later ones rest on the runs of earlier ones; and
    verdicts, which rest on the runs of all, come last. After an error no other notebook begins.
    """
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(os.path.dirname(name), []).append(name)
    last = folders.pop("notebooks/verdicts", [])
    took: dict[str, tuple[str, float]] = {}
    failed = threading.Event()

    def follow(folder: Sequence[str]) -> None:
        for name in folder:
            if failed.is_set():
                return
            started = time.perf_counter()
            try:
                fresh = execute(name)
            except BaseException:
                failed.set()
                raise
            said = name if fresh else f"{name} (unchanged)"
            took[name] = said, time.perf_counter() - started

    with ThreadPoolExecutor(workers) as pool:
        try:
            for each in [pool.submit(follow, folder) for folder in folders.values()]:
                each.result()
        except BaseException:  # Ctrl-C comes here, and not to the threads
            failed.set()
            raise
    follow(last)
    return dict(took[name] for name in names)


def _execute(
    root: Path, stage: Path, executed: Path, parameters: Mapping[str, Any], name: str
) -> bool:
    """Put the executed notebook and its sound files into the stage; return whether it was run."""
    short = name.removeprefix("notebooks/")
    done, state = executed / f"{short}.ipynb", _state(root, name, parameters)
    mark = done.with_suffix(".state")
    known = mark.read_text() if mark.exists() and done.exists() else ""
    fresh = known != state
    if fresh:
        print(f"executing {name} ...", flush=True)
        mark.unlink(missing_ok=True)
        _papermill(root / f"{name}.ipynb", done, parameters)
        mark.write_text(state)
    target = stage / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_presentable(done.read_text(encoding="utf-8")), encoding="utf-8")
    media = done.parent / MEDIA
    if media.is_dir():
        shutil.copytree(media, target.parent / MEDIA, dirs_exist_ok=True)
    return fresh


def _presentable(executed: str) -> str:
    """Return an executed notebook as the pages are made of it.

    Without the cell that repeats the parameters, which papermill puts behind the cell whose
    comments explain them. And where a cell has a caption, what it shows besides its picture has a
    cell of its own: MyST-NB puts each output of such a cell into a figure with that caption.
    """
    notebook, cells = json.loads(executed), []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            cell["metadata"]["tags"] = [*tags, "remove-cell"]
        cells.append(cell)
        if "figure" in cell["metadata"].get("mystnb", {}):
            besides = [item for item in cell["outputs"] if not _is_picture(item)]
            cell["outputs"] = [item for item in cell["outputs"] if _is_picture(item)]
            # It keeps the source, unseen: cells without any are passed over.
            made = {"id": f"{cell['id']}-besides", "metadata": {"tags": ["remove-input"]}}
            cells += [{**cell, **made, "outputs": besides}] if besides else []
    notebook["cells"] = cells
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _is_picture(output: Mapping[str, Any]) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def _papermill(source: Path, done: Path, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook into `done`, complete or not at all."""
    import papermill

    known = papermill.inspect_notebook(str(source))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise BookError(
            f"{source}: has no parameter(s) {', '.join(unknown)}",
            expected="a cell tagged 'parameters' with " + ", ".join(parameters),
        )
    done.parent.mkdir(parents=True, exist_ok=True)
    beside = done.with_name(f".{done.stem}.part.ipynb")
    command = [sys.executable, "-m", "papermill", str(source), str(beside)]
    command += ["--cwd", str(done.parent), "--kernel", "python3", "--no-progress-bar"]
    command += ["--parameters_yaml", yaml.safe_dump(dict(parameters))]
    environment = {
        **os.environ,
        **{name: _whole(os.environ[name]) for name in FOLDERS if os.environ.get(name)},
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    try:
        result = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMITS[parameters["profile"]],
            check=False,
        )
        if result.returncode != 0:
            words = _last_words(beside, result.stdout)
            # An error of ours says itself what to do.
            lab = f"open it with `make lab`, profile {parameters['profile']}, and run it there"
            raise BookError(
                f"{source}: failed with\n{words}", do="" if "What to do: " in words else lab
            )
        gates.check_notebook(beside, str(source))
        os.replace(beside, done)
    except subprocess.TimeoutExpired as error:
        raise BookError(
            f"{source}: took longer than {LIMITS[parameters['profile']]} s",
            do="run `unmix run` for its experiments first; what is stored is not repeated",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def _last_words(path: Path, output: str) -> str:
    """Return the error of a failed notebook: from its cell, else the end of papermill's output."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        cells = []
    for cell in cells:
        for item in cell.get("outputs", []):
            if item.get("output_type") == "error":
                return f"{item['ename']}: {item['evalue']}"
    lines = [line for line in output.splitlines() if line.strip()]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines[-8:]))


def _sphinx(stage: Path) -> None:
    """Build the pages, warnings as errors."""
    shutil.rmtree(stage / "_build", ignore_errors=True)
    # The package cannot be run with -m, and its script need not be on the PATH.
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", str(stage)]
    command += ["--all", "-W", "--keep-going", "-n", "--quiet"]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode != 0:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
        lines = [line for line in plain.splitlines() if re.search("WARNING|ERROR|rror", line)]
        raise BookError(
            "the pages do not build without warnings:\n"
            + "\n".join(lines[-20:] or [plain[-2000:]]),
            do="mend the pages that are named",
        )


def _write_records(built: Path, parameters: Mapping[str, Any]) -> None:
    """Put verdicts and audits beside the pages as JSON, for programs, each with its schema."""
    from unmix.report.bearing import as_json, every
    from unmix.verdicts.schema import schema

    found = every(
        Store(store_folder(parameters.get("store"))),
        profile=parameters["profile"],
        data_root=parameters.get("data_root") or None,
        seeds=parameters.get("seeds", 0),
    )
    records = {"verdicts": ("verdicts", as_json(found)), "audit": ("findings", _audits())}
    for name, (form, text) in records.items():
        (built / f"{name}.json").write_text(text, encoding="utf-8")
        declared = json.dumps(schema(form), indent=1, ensure_ascii=False) + "\n"
        (built / f"{name}.schema.json").write_text(declared, encoding="utf-8")


@functools.cache
def _audits() -> str:
    """Return the findings on all papers as JSON; they rest on the package alone."""
    from unmix.verdicts.audit import audits
    from unmix.verdicts.schema import check

    plain = [each.plain() for each in audits()]
    check(plain, "findings", "audit.json")
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def _copy_media(stage: Path, built: Path) -> None:
    for folder in (stage / "notebooks").rglob(MEDIA):
        target = built / folder.relative_to(stage)
        shutil.copytree(folder, target, dirs_exist_ok=True)
