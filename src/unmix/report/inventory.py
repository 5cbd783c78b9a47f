"""Runs as a user reads them: which row of which table each belongs to, listed or one by one.

Nothing here imports torch or pandas unless it has to, so that a listing of a large store is there
at once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import unmix
from unmix.errors import SpecError, UnmixError, command, one_of
from unmix.runs.places import results_folder
from unmix.runs.registry import SHOWN, Entry, diff, flat, listing, write_lines
from unmix.runs.store import Run

FAMILIES = "families.json"
"""Cache of `places` in a store, for one state of the package's source."""

NAMED = 8
"""So many rows that a run belongs to are named; the others are counted."""

COUNTS = {"clips": "scored, a clip once for each source", "unscored": "unscored"}
"""What the counts beside the scores are of."""

NONE = "no experiment of today"
"""Said of runs whose settings stand in no table any more, or never did."""


def package_source() -> str:
    """Return a hash over the text of all modules of this package."""
    package = Path(unmix.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def places(root: Path) -> dict[str, list[Mapping[str, str]]]:
    """Return for each family of specs where it belongs, see `papers.families.Place`.

    Building all experiments takes seconds of imports, so the result is kept in the store under a
    hash of the whole package's source, and is made anew whenever that has changed.
    """
    source = package_source()
    try:
        kept = json.loads((root / FAMILIES).read_text(encoding="utf-8"))
        if kept["source"] == source:
            return kept["families"]  # type: ignore[no-any-return]
    except (OSError, ValueError, LookupError, TypeError):
        pass
    from unmix.papers.families import families

    found: dict[str, list[Mapping[str, str]]] = {
        family: [asdict(place) for place in of_family] for family, of_family in families().items()
    }
    if root.is_dir():
        kept = {"source": source, "families": found}
        write_lines(root / FAMILIES, [json.dumps(kept, indent=0)])
    return found


@dataclass(frozen=True)
class Wanted:
    """Which runs to list: of a paper, of an experiment, with a text in the row's label."""

    paper: str = ""
    experiment: str = ""
    system: str = ""

    def check(self, known: Iterable[Mapping[str, str]]) -> None:
        """Make sure that the names exist.

        Raises:
            SpecError: the paper or the experiment is unknown.
        """
        known = list(known)
        for what, name in (("paper", self.paper), ("experiment", self.experiment)):
            names = sorted({place[what] for place in known})
            if name and name not in names:
                raise SpecError(one_of(what, name, names), expected=", ".join(names))

    def fits(self, place: Mapping[str, str]) -> bool:
        """Return whether a place is wanted."""
        return (
            self.paper in ("", place["paper"])
            and self.experiment in ("", place["experiment"])
            and self.system.lower() in place["row"].lower()
        )

    @property
    def everything(self) -> bool:
        """Return whether runs of no experiment are wanted too."""
        return not (self.paper or self.experiment or self.system)


@dataclass(frozen=True)
class Listed:
    """A run of a listing: its entry, where it belongs, and the folder that holds it."""

    entry: Entry
    places: Sequence[Mapping[str, str]]
    root: Path

    def plain(self) -> dict[str, Any]:
        """Return it as plain data, the whole key included; times in s, GNSDR in dB."""
        entry = self.entry
        return {
            "key": entry.key,
            "folder": str(self.root / entry.key),
            "places": [dict(place) for place in self.places],
            "seed": entry.seed,
            "fidelity": entry.fidelity,
            "finished": entry.finished,
            "wall_s": entry.wall,
            "GNSDR": entry.gnsdr,
        }


def inventory(store: Path, wanted: Wanted, *, results: bool = False) -> list[Listed]:
    """Return the runs of a store that are wanted, and those of `results/` if asked for.

    Runs from before provenance named the global scores have theirs read from their scores, here,
    since only here it is known which are shown.

    Raises:
        SpecError: the paper or the experiment is unknown.
    """
    belong = places(store)
    known = [place for of_family in belong.values() for place in of_family]
    wanted.check(known)
    roots = [store]
    if results:
        roots += [results_folder(paper) for paper in sorted({place["paper"] for place in known})]
    fits = {
        family: [place for place in of_family if wanted.fits(place)]
        for family, of_family in belong.items()
    }
    found = []
    for root in roots:
        for entry in listing(root, keep=root == store):
            fitting = fits.get(entry.family, ())
            if fitting or wanted.everything:
                found.append(Listed(_with_gnsdr(entry, root), fitting, root))
    return found


def _with_gnsdr(entry: Entry, root: Path) -> Entry:
    if entry.gnsdr is not None or not entry.fidelity:
        return entry
    value = means(Run(root / entry.key)).get("GNSDR", math.nan)
    return entry._replace(gnsdr=value if math.isfinite(value) else None)


def means(run: Run) -> dict[str, float]:
    """Return the global scores of a run in dB and its counts of clips; none if damaged."""
    from unmix.metrics.means import global_scores

    try:
        return global_scores(run.scores())
    except (UnmixError, LookupError):
        return {}


HEADING = ("run", "belongs to", "seed", "fidelity", "finished", "wall/s", "GNSDR/dB")


def table(rows: Sequence[Listed]) -> list[str]:
    """Return a listing as lines of aligned columns."""
    cells = [HEADING, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADING))]
    form = "  ".join(
        f"{{:{'>' if i in (2, 5, 6) else '<'}{width}}}" for i, width in enumerate(widths)
    )
    return [form.format(*line).rstrip() for line in cells]


def _cells(row: Listed) -> tuple[str, ...]:
    entry = row.entry
    return (
        entry.key[:SHOWN],
        belongs(row.places),
        "-" if entry.seed is None else str(entry.seed),
        entry.fidelity or "unreadable",
        entry.finished[:16].replace("T", " ") or "-",
        "-" if entry.wall is None else f"{entry.wall:.1f}",
        "-" if entry.gnsdr is None else f"{entry.gnsdr:.2f}",
    )


def belongs(found: Sequence[Mapping[str, str]]) -> str:
    """Return in one line where a run belongs, and at how many places more."""
    if not found:
        return f"({NONE})"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{_named(found[0])}{more}"


def _named(place: Mapping[str, str]) -> str:
    backend = "" if place["backend"] == "unmix" else f", {place['backend']}"
    return f"{place['paper']}/{place['experiment']}: {place['row']} ({place['profile']}{backend})"


def repeat(place: Mapping[str, str], seed: int, **options: object) -> str:
    """Return the command that carries out a run again, with all others of its experiment."""
    return command(
        "run",
        f"{place['paper']}/{place['experiment']}",
        profile=place["profile"],
        seeds=seed + 1 if seed else 0,
        backend="" if place["backend"] == "unmix" else place["backend"],
        **options,
    )


def described(run: Run, store: Path, options: Mapping[str, object]) -> list[str]:
    """Return all that is known of a run: places, settings, provenance, scores, files.

    Args:
        run: the run.
        store: the store, which keeps what `places` found.
        options: of the command that repeats it.

    Raises:
        StoreError: the run is damaged.
    """
    settings, about = run.settings(), run.provenance()
    found = places(store).get(str(about.get("family", "")), [])
    again = [repeat(place, int(settings.get("seed", 0)), **options) for place in found[:1]]
    scores = run.scores()
    from unmix.metrics.means import COLUMNS, global_scores

    parts = {
        "belongs to": _cut([_named(place) for place in found]) or [NONE],
        "repeated by": again or ["nothing: its settings stand in no table"],
        "settings": _pairs(flat(settings)),
        "provenance": _pairs(flat(about)),
        "scores (means over test clips and all sources scored, those with G by length, dB)": [
            f"{name} = {value:.2f}" if name in COLUMNS else f"{COUNTS[name]} = {value:.0f}"
            for name, value in global_scores(scores).items()
        ],
        "files": [
            f"{path.relative_to(run.folder)}, {megabytes(path.lstat().st_size)}"
            for path in sorted(run.folder.rglob("*"))
            if not path.is_dir()
        ],
    }
    lines = [f"run {run.key}", f"  {run.folder}"]
    for title, content in parts.items():
        lines += [title, *(f"  {line}" for line in content)]
    return lines


def _cut(lines: list[str]) -> list[str]:
    """Return the first lines and how many there are besides; all where one more does it."""
    if len(lines) <= NAMED + 1:
        return lines
    return [*lines[:NAMED], f"and {len(lines) - NAMED} more rows"]


def _pairs(data: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in data.items()]


def compared(one: Run, other: Run) -> list[str]:
    """Return what two runs differ in, a line an entry: path, the first's value, the second's.

    Raises:
        StoreError: a spec or a provenance is damaged.
    """
    found = diff(one, other)
    lines = []
    for part in ("settings", "provenance"):
        of_part = [each for each in found if each.part == part]
        lines.append(part if of_part else f"{part}: no difference")
        lines += [
            f"  {each.path}: {each.one or 'none'} | {each.other or 'none'}" for each in of_part
        ]
    return lines


def megabytes(size: int) -> str:
    """Return a size in words: kB below a megabyte, MB above, of a thousand each."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
