"""A program for tests: runs that meet a disaster at one of their steps, at each of them in turn.

`python tests/disasters.py at_each_step FOLDER SPEC` carries out a spec in `FOLDER/KIND/1`,
`FOLDER/KIND/2`, … for each of `KINDS`. In store `n` the disaster comes at the n-th step, then the
same call is made undisturbed; that goes on until a run ends before its disaster. What happened is
printed as JSON: by kind, an entry a store. `FOLDER/undisturbed` is the store of a run without any.
Disasters that kill come in forks of this process, so that torch is loaded once.

`python tests/disasters.py with_little_room DISK SPEC` does the same on a small disk with little
room, then with more and more.
"""

import dataclasses
import errno
import functools
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from conftest import TinyDataset
from unmix.models.oracle import Mixture
from unmix.runs import checksums, cluster, machine
from unmix.runs.spec import spec_from_plain
from unmix.runs.store import Store
from unmix.training import checkpoint

trial = SimpleNamespace(steps="", act=None, at=0, count=0, root=Path(), copies=False)
"""What is tried: which steps count, what to do at one, at which, how many there were, and where."""

ROOM = ("open", "os.mkdir", "os.rename")
CHANGES = (*ROOM, "os.remove", "os.rmdir")


def reached(steps, *words):
    """Count a step, and do at it what is being tried."""
    if trial.steps == steps:
        trial.count += 1
        trial.act(*words)


# What comes at a step.


def killed(*words):
    if trial.count == trial.at:
        os.kill(os.getpid(), signal.SIGKILL)


def cut_short(path):
    if trial.count == trial.at:
        os.truncate(path, os.stat(path).st_size // 2)
        killed()


def full(event):
    if trial.count >= trial.at and event in ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(trial.root))


KINDS = {
    "killed before a change": ("change", killed),
    "killed in a file": ("file", cut_short),
    "killed in training": ("update", killed),
    "killed in a copying rename": ("copy", killed),
    "full": ("change", full),
}
"""Which steps count, and what comes at one."""


# Where a step is reached.


def watch_changes(event, words):
    """Be told by Python of what it is about to change on the disk; counts what is in the store."""
    if event not in CHANGES or (event == "open" and not words[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    path = Path(os.fsdecode(words[0])) if isinstance(words[0], str | bytes) else Path()
    # What `shutil.rmtree` removes comes without its folder.
    if path.is_relative_to(trial.root) or (event == "os.remove" and len(path.parts) == 1):
        reached("change", event)


def watch_files(owner, name, place):
    """Let the end of a function that writes a file, its argument number `place`, be a step."""
    write = getattr(owner, name)

    def written(*words, **more):
        done = write(*words, **more)
        reached("file", words[place])
        return done

    setattr(owner, name, written)


def watch_renames(rename=os.replace):
    """Let folders be renamed by copying and removing, as some file systems do, if asked to."""

    def replace(source, target):
        if not trial.copies or not Path(source).is_dir():
            return rename(source, target)
        if trial.steps == "copy" and Path(target).name[0] != ".":
            trial.steps = "change"
        os.mkdir(target)
        # In the order that promises most while least is there.
        for name in sorted(os.listdir(source), key=lambda name: (name != "provenance.json", name)):
            shutil.copyfile(f"{source}/{name}", f"{target}/{name}")
        shutil.rmtree(source)

    os.replace = replace


# Trials.


def attempted(call, said):
    """Make a call; return 0, or 2 and write down what it said instead."""
    try:
        call()
    except Exception as error:
        trial.steps = ""
        said.write_text(f"{type(error).__name__}: {error}")
        return 2
    return 0


def forked(call, *words):
    """Make a call in a fork; return its status, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        os._exit(call(*words))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def tried(kind, at, place, call):
    """Return how a call with a disaster at step `at` ended, and what it left."""
    store, said = Store(place), place.with_name(f"{at}.txt")
    trial.root, trial.at, trial.count, trial.copies = place, at, 0, "copying" in kind
    trial.steps, trial.act = KINDS[kind]
    words = attempted, lambda: call(store), said
    status = words[0](*words[1:]) if kind == "full" else forked(*words)
    trial.steps = ""
    found = {run.key: checksums.damage(run.folder) for run in store.runs()}
    served = [run_key for run_key in found if store.get(run_key)]
    call(store)
    text = said.read_text() if said.exists() else ""
    return {"status": status, "said": text, "left": found, "served": served}


def carry_out(spec, store):
    return cluster.complete([spec], store, workers=1, device="cpu")[0]


def at_each_step(folder, spec):
    """Return what came of a disaster of each kind at each step; see the top of this file."""
    carry_out(spec, Store(folder / "undisturbed"))
    sys.addaudithook(watch_changes)
    register_optimizer_step_post_hook(lambda *words: reached("update"))
    for words in (pd.DataFrame, "to_csv", 1), (Path, "write_text", 0), (checkpoint, "save_file", 1):
        watch_files(*words)
    watch_renames()
    found = {kind: [] for kind in KINDS}
    for kind, entries in found.items():
        (folder / kind).mkdir()
        while not entries or entries[-1]["status"] != 0:
            at = len(entries) + 1
            call = functools.partial(carry_out, spec)
            entries.append(tried(kind, at, folder / kind / str(at), call))
    return found


def with_little_room(disk, spec):
    """Return what came of a run that trains and of one that does not; see `squeezed`."""
    plain = dataclasses.replace(spec, separator=Mixture(), training=None)
    return {"network": squeezed(disk, spec), "mixture": squeezed(disk, plain)}


def squeezed(disk, spec):
    """Return for a rising number of free pages on a small disk what was said, left and done next.

    The last entry is of the first run that fitted.
    """
    entries, store = [], Store(disk / "runs")
    wanted = carry_out(spec, Store(disk.parent / "undisturbed"))
    step = 1 if spec.training is None else 7
    while not entries or entries[-1]["status"] != 0:
        with (disk / "ballast").open("wb") as file:
            state, pages = os.statvfs(disk), step * len(entries)
            os.posix_fallocate(file.fileno(), 0, (state.f_bavail - pages) * state.f_frsize)
        said = disk.parent / "said.txt"
        said.write_text("")
        status = attempted(lambda: carry_out(spec, store), said)
        left = [str(path.relative_to(disk)) for path in disk.rglob("*.*") if path.is_file()]
        (disk / "ballast").unlink()
        runs = len(store.runs())
        again = carry_out(spec, store)
        same = all(
            (again.folder / name).read_bytes() == (wanted.folder / name).read_bytes()
            for name in ("scores.csv", "model.safetensors")
            if (wanted.folder / name).exists()
        )
        told = {"status": status, "said": said.read_text(), "left": left, "runs": runs}
        entries.append(told | {"same": same, "damage": checksums.damage(again.folder)})
        shutil.rmtree(store.root)
    return entries


if __name__ == "__main__":
    torch.set_num_threads(1)
    machine.tree = functools.cache(machine.tree)  # asks git, which is slow
    dataset = TinyDataset()
    cluster.open_dataset = lambda name, root=None, clips=None: dataset
    what, where, plain = sys.argv[1:]
    print(json.dumps(globals()[what](Path(where), spec_from_plain(json.loads(plain)))))
