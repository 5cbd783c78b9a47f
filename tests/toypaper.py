"""A constructed paper: tables, claims and an audit, in a folder of its own."""

from itertools import count

import yaml

from unmix.papers import published
from unmix.verdicts import audit as auditing
from unmix.verdicts import claims as claiming

NAMES = count()
SONGS = {"same": False, "count": None, "why": "constructed"}
CLAIM = {
    "id": "T01", "from": [], "place": "Sec. 1", "kind": "ordering", "stated": True,
    "statement": "A beats B.", "cells": [], "experiment": None, "without": "constructed",
    "aggregation": "mean", "unit": "song",
    "rule": {"test": "greater", "table": "one", "pairs": [[{"row": "A"}, {"row": "B"}]],
             "metrics": ["SDR"]},
}  # fmt: skip
ABOUT = {
    "title": "Constructed", "authors": "Nobody", "year": None, "venue": None, "cite": None,
    "dataset": "none", "about": "Constructed.",
}  # fmt: skip


def table(columns, *lines):
    return "\n".join([columns, *lines]) + "\n"


def writer(folder, monkeypatch):
    """Return a function that writes a paper of tables and entries of audit.yaml into a folder.

    It is the only paper there is until the test ends; the function returns its name.
    """

    def write(tables, checks, claims=(CLAIM,)):
        name = f"toy{next(NAMES)}"  # what is read is kept by name
        home = folder / name
        home.mkdir()
        there = {"one": table("row,metric,value", "A,SDR,2.0", "B,SDR,1.0"), **tables}
        for title, text in there.items():
            (home / f"{title}.csv").write_text(text)
        texts = {
            "paper": {**ABOUT, "tables": {title: _about(title) for title in {*there} - {"text"}}},
            "claims": {"test_songs": SONGS, "claims": list(claims)},
            "audit": {"checks": checks},
        }
        for title, data in texts.items():
            (home / f"{title}.yaml").write_text(yaml.safe_dump(data))
        monkeypatch.setattr(published, "HOME", folder)
        for module in (published, claiming, auditing):
            monkeypatch.setattr(module, "PUBLISHED", (name,))
        return name

    return write


def _about(title):
    return {
        "title": title, "place": title, "unit": "dB", "statistic": "mean", "rows": ["row"],
        "columns": ["metric"], "text": {"note": "constructed"},
    }  # fmt: skip


def entry(kind, **parameters):
    return {"id": "toy", "check": kind, "says": "They fit.", "place": "Table 1", **parameters}


def cell(row, metric="count", **more):
    return {"table": "text", "name": row, "metric": metric, **more}


def constant(value):
    return {"constant": value, "why": "constructed"}


def side_lobes():
    """An entry that needs no table."""
    return entry("side_lobes", window="hann", against=["boxcar"], **{"is": "lower"})
