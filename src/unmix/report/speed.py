"""How fast systems train and separate, as the benchmarks measured it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from unmix.report.measured import duration, recorded
from unmix.report.tables import Shown, listed, plain

SIDE_BY_SIDE = ("Proposed: GRU, 3 x 1000", "LSTM, 3 x 1000", "LSTM, 3 x 1000, without oneDNN")
"""The paper's network, and the networks of LSTM cells that it is compared with."""


def training(paper: str) -> Shown:
    """Return how much sound a second a paper's systems train with, and their share of the peak.

    There is a table for each kind of device that was measured.

    Raises:
        UnmixError: the file is not what the benchmark wrote.
    """
    return recorded(f"systems-{paper}", lambda found: _each(found, _trained))


def separation(paper: str) -> Shown:
    """Return how long a paper's systems take for whole songs, and what memory beside the song.

    Raises:
        UnmixError: the file is not what the benchmark wrote.
    """
    return recorded(f"separating-{paper}", lambda found: _each(found, _separated))


def layers() -> Shown:
    """Return what an iteration of L-BFGS takes, and least squares in one pass or at once.

    Raises:
        UnmixError: the file is not what the benchmark wrote.
    """
    return recorded("layerwise", lambda found: _each(found, _layered))


def iteration() -> Shown:
    """Return what an iteration of the multichannel filter takes, and norbert's beside it.

    Raises:
        UnmixError: the file is not what the benchmark wrote.
    """
    return recorded("spatial", lambda found: _table(found, _iterated))


def _each(found: Mapping[str, Any], show: Any) -> Shown:
    """Return the tables of all devices, the CPU's first."""
    whole = Shown("")
    for _, record in sorted(found.items(), key=lambda item: (item[0] != "cpu", item[0])):
        whole += _table(record, show)
    return whole


def _table(found: Mapping[str, Any], show: Any) -> Shown:
    names, lines, entries = show(found)
    caption, entries = f"{found['title']} ({found['device']})", [*entries, *_origin(found)]
    markup = plain(names, lines, caption) + listed(entries)
    return Shown(markup, "\n".join([caption, *map(", ".join, lines), *entries]))


def _trained(found: Mapping[str, Any]) -> tuple[Sequence[str], list[list[str]], list[str]]:
    """Return headings, lines and notes of a record of `benchmarks/systems.py`."""
    names = ("system", "precision", "weights", "batch", "s of sound a second", "GFLOP/s", "share")
    peaks, lines = found["peak_gflops"], []
    for row in found["rows"]:
        taken = row["rated"]
        middle, fast, slow = (
            row["audio_s"] / time for time in (median(taken), min(taken), max(taken))
        )
        speed = row["gflop"] / median(taken)
        lines.append(
            [
                row["what"].removesuffix(f", {row['precision']}").replace(" x ", " × "),
                row["precision"],
                f"{row['weights'] / 1e6:.1f} M",
                f"{row['batch']} × {row['audio_s'] / row['batch']:.2f} s",
                f"{middle:.3g} ({slow:.3g} to {fast:.3g})",
                f"{speed:,.0f}",
                f"{100 * speed / peaks[row['precision']]:.0f} %",
            ]
        )
    turns = max(len(row["rated"]) for row in found["rows"])
    products = " and ".join(f"{peak:,.0f} GFLOP/s in {name}" for name, peak in peaks.items())
    notes = [
        f"Each figure: the median of {turns} steps of forward, backward and Adam in turn with the "
        "other systems, lowest to highest in brackets; on a CPU by the processor's own clock.",
        f"Share: of what a product of matrices of 2048 × 2048 reached in the same process, "
        f"{products}. Operations are those in products of matrices and convolutions.",
    ]
    return names, lines, notes + _beside(found["rows"])


def _beside(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how many times as long as the GRU the LSTMs take for a step, turn by turn."""
    taken = {row["what"]: row["rated"] for row in rows}
    own, *others = SIDE_BY_SIDE
    notes = []
    for other in others:
        if own in taken and other in taken:
            ratios = [b / a for a, b in zip(taken[own], taken[other], strict=True)]
            notes.append(
                f"GRU against {other.replace(' x ', ' × ')}: a step of the LSTM takes "
                f"{median(ratios):.2f} times as long as one of the GRU "
                f"({min(ratios):.2f} to {max(ratios):.2f} over the turns)."
            )
    return notes


def _separated(found: Mapping[str, Any]) -> tuple[Sequence[str], list[list[str]], list[str]]:
    """Return headings, lines and notes of a record of `benchmarks/separating.py`."""
    names = ["system", "precision", "song", "time", "times real time", "memory beside the song"]
    lines, partly = [], False
    for row in found["rows"]:
        seconds, cut = median(row["seconds"]), row["part"] < 1
        partly |= cut
        memory = f"{row['beside_mib']:,.0f} MiB"
        if "device_mib" in row:
            memory += f", GPU {row['device_mib']:,.0f} MiB"
        lines.append(
            [
                row["system"] + (", the song at once" if row["at_once"] else ""),
                row["precision"],
                f"{row['minutes']} min, {row['song_mib']:.0f} MiB",
                duration(seconds) + ("*" if cut else ""),
                f"{60 * row['minutes'] / seconds:.3g}",
                memory,
            ]
        )
    notes = [
        "Memory: the most that a fresh process held, less what it held before; estimates are "
        "thrown away as they come. Each estimate kept takes as much as the song."
    ]
    if partly:
        notes.append("*: ended before the song did, and scaled up to the whole of it.")
    return names, lines, notes


def _layered(found: Mapping[str, Any]) -> tuple[Sequence[str], list[list[str]], list[str]]:
    """Return headings, lines and notes of a record of `benchmarks/layerwise.py`."""
    names = ("what", "time", "vectors a second", "share", "memory beside the recordings")
    lines: list[list[str]] = []
    ways: dict[int, dict[str, tuple[float, float]]] = {}
    for row in found["rows"]:
        seconds = median(row["seconds"])
        if "way" in row:
            ways.setdefault(row["vectors"], {})[row["way"]] = (seconds, row["beside_mib"])
        looks = row.get("evaluations_per_iteration", 1)
        rate = row.get("vectors_per_s") or row["vectors"] * looks / seconds
        lines.append(
            [
                row["what"],
                duration(seconds),
                f"{rate:,.0f}",
                f"{100 * row['peak_share']:.0f} %" if "peak_share" in row else "",
                f"{row['beside_mib']:,.0f} MiB" if "beside_mib" in row else "",
            ]
        )
    notes = [
        "L-BFGS: an iteration with vectors in memory. Least squares: with the making of its "
        "vectors, each in a process of its own.",
        f"Share: of what a product of matrices reached in the same process, "
        f"{found['matrix_peak_gflops']:,.0f} GFLOP/s.",
    ]
    for vectors, measured in ways.items():
        if len(measured) == 2:
            one, other = measured["streamed"], measured["straightforward"]
            notes.append(
                f"{vectors:,} vectors streamed take {one[0] / other[0]:.2f} of the time and "
                f"{one[1] / other[1]:.2f} of the memory of the straightforward way, which holds "
                "all of them and takes one product."
            )
    return names, lines, notes


def _iterated(found: Mapping[str, Any]) -> tuple[Sequence[str], list[list[str]], list[str]]:
    """Return headings, lines and notes of a record of `benchmarks/spatial.py`."""
    names = ("what", "time", "norbert takes", "memory of the process")
    rows = {row["what"]: row for row in found["rows"]}
    theirs = rows["norbert"]["seconds"]
    lines = []
    for what, row in rows.items():
        ratio = median(b / a for a, b in zip(row["seconds"], theirs, strict=True))
        lines.append(
            [
                what,
                duration(median(row["seconds"])),
                "" if what == "norbert" else f"{ratio:.2f} times as long",
                f"{row['peak_mib']:,.0f} MiB",
            ]
        )
    song = rows["norbert"]["song_s"] / 60
    return (
        names,
        lines,
        [
            f"A stereo song of {song:g} minutes, four sources; time of the processor, in turns.",
            "Memory: the most that a process of its own held, the song's spectrum, PSDs and images "
            "included.",
        ],
    )


def _origin(found: Mapping[str, Any]) -> list[str]:
    machine = found["machine"]
    return [
        f"Measured: on {found['made']}, on {machine['cores']} cores ({machine['architecture']}), "
        f"with a load of {machine['load']:g} from other work at the start and of "
        f"{machine['load_after']:g} in all at the end.",
        f"To repeat: {found['command']}",
    ]
