"""What several test files use: made-up runs, refusals, archives, networks, other processes."""

import contextlib
import ctypes
import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import torch

from unmix.papers.evidence import Evidence
from unmix.papers.experiment import PROFILES, Row, Setting, experiment
from unmix.runs.store import Run

FULL = Setting(PROFILES["full"], True)
TINY = Setting(PROFILES["tiny"], False)


def heeding_ctrl_c():
    """Before a child starts: a parent in the background has it ignore Ctrl-C otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def obeying_rights():
    """Before a child starts: as root it would write wherever the rights of files forbid it."""
    if os.geteuid() == 0:
        drop, capabilities = 24, (1, 2)  # PR_CAPBSET_DROP; CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        for each in capabilities:
            ctypes.CDLL(None).prctl(drop, each, 0, 0, 0)


COMMANDS = """
import contextlib, io, json, sys
from unmix import cli
found = []
for words in json.loads(sys.argv[1]):
    sys.argv, out, err, status = ["unmix", *words], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
    found.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""


def commands(*calls, before=(), **more):
    """Call the command line in another process; returns status, output and messages of each call.

    Args:
        calls: the words of each.
        before: a command that starts the process.
        more: options of `subprocess.run`.
    """
    words = json.dumps([[str(word) for word in call] for call in calls])
    ended = subprocess.run(
        [*before, sys.executable, "-c", COMMANDS, words], capture_output=True, text=True, **more
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@contextlib.contextmanager
def hosting(folder):
    """A web host of a folder's files, by its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def zipped(members):
    """The bytes of a ZIP archive, from contents by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def scores(**nsdr):
    """A row a clip, `song_clip=nsdr`; the clip's number decides its length."""
    rows = []
    for clip, value in nsdr.items():
        row = {"clip": clip, "song": clip.split("_")[0], "artist": "a", "source": "voice"}
        row |= {"samples": 1000 * int(clip[-1]), "sdr": value + 0.5, "mixture_sdr": 0.5}
        rows.append(row | {"nsdr": value, "sir": value + 3, "sar": value + 4})
    return pd.DataFrame(rows)


def fabricate(folder, spec, fidelity, table, history=(), **more):
    """A stored run of `spec` with the given scores."""
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec.plain()))
    made = {"fidelity": fidelity, "family": spec.family(), "learning_s": 61.4, "device": "abacus"}
    made |= {"clips": {"test": len(table)}, "finished": "2026-01-02T03:04:05Z", **more}
    (folder / "provenance.json").write_text(json.dumps(made))
    table.to_csv(folder / "scores.csv", index=False)
    if history:
        epochs = {"epoch": range(len(history)), "valid_loss": history, "seconds": 40.0}
        pd.DataFrame(epochs).to_csv(folder / "history.csv", index=False)
    return Run(folder)


def spec_of(where, label, name="table2"):
    rows = experiment("parwal", name, where).rows
    return next(row.spec for row in rows if ", ".join(row.keys.values()) == label)


def item(folder, name, *seeds, fidelity="stand-in"):
    """Evidence of one row from tables of scores, one a seed."""
    spec = spec_of(TINY, "Augmented")
    runs = [
        fabricate(folder / f"{name}{seed}", spec.with_seed(seed), fidelity, table)
        for seed, table in enumerate(seeds)
    ]
    return Evidence(Row({"input": name}, spec), tuple(runs))


def refused(found, said, status=1):
    """One message with what was found and what to do; nothing else."""
    assert found[0] == status
    assert found[1] == ""
    assert "Traceback" not in found[2]
    assert re.search(said, " ".join(found[2].split())), found[2]
    if status == 1:
        assert re.fullmatch(r"error: .+\n", found[2]), "one line"
        assert "Expected: " in found[2] or found[2].count("What to do: ") == 1


def turns(progression):
    """All rotations of a progression, which repeats: no matter where it begins."""
    return frozenset(progression[at:] + progression[:at] for at in range(len(progression)))


def apart(train, valid, test):
    """Nothing is in two of three sets, and something in the first."""
    assert train
    assert not train & valid
    assert not train & test
    assert not valid & test


def noise(samples, seed=0):
    """Noise of one channel, as long as told."""
    return np.random.default_rng(seed).standard_normal((1, samples)).astype(np.float32)


def seeded(settings, outputs=2, seed=0):
    """The network of these settings with the weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return settings.build(outputs)


def biased(network):
    """The network with biases that are not zero, so that it matters where they are added."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            if parameter.ndim == 1:
                parameter.copy_(0.1 * torch.from_numpy(noise(len(parameter), seed=number)[0]))
    return network


def count(network):
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())
