"""How verdicts have changed since they were last written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unmix.errors import SpecError, command
from unmix.verdicts.schema import check

NOT_REPRODUCED = "not reproduced"
"""As in `verdicts.decide`, which takes a second to import."""


def read(path: Path) -> list[dict[str, Any]]:
    """Return the verdicts that a file holds, as plain data.

    Raises:
        SpecError: it cannot be read, is no JSON, or is not of the schema.
    """
    make = f"name a file that `{command('verdicts', json=True)}` has written"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}", do=make) from error
    except ValueError as error:
        raise SpecError(f"{path} is no JSON: {error}", do=make) from error
    try:
        check(data, "verdicts", str(path))
    except SpecError as error:
        raise SpecError(error.found, expected=error.expected, do=make) from error
    return list(data)


@dataclass(frozen=True)
class Change:
    """A claim on which the verdict changed.

    Attributes:
        id, paper: the claim's.
        before, now: outcome, with the direction where it is not reproduced; empty where there is
            no such claim.
    """

    id: str
    paper: str
    before: str
    now: str

    def plain(self) -> dict[str, str]:
        """Return the change as plain data."""
        return asdict(self)


def changes(before: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Return the claims on which verdicts differ: those of now in their order, then vanished ones.

    Args:
        before: verdicts as plain data, see `Verdict.plain`.
        now: others.
    """
    old = {(each["paper"], each["id"]): _said(each) for each in before}
    new = {(each["paper"], each["id"]): _said(each) for each in now}
    return [
        Change(name, paper, old.get((paper, name), ""), new.get((paper, name), ""))
        for paper, name in dict.fromkeys([*new, *old])
        if old.get((paper, name)) != new.get((paper, name))
    ]


def _said(verdict: Mapping[str, Any]) -> str:
    """Return the outcome of a verdict in words, with the direction where it is not reproduced."""
    outcome, direction = verdict["outcome"], verdict["direction"]
    return f"{outcome}: {direction}" if outcome == NOT_REPRODUCED else str(outcome)
