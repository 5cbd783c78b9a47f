"""TRIOS: trios whose instruments were recorded apart (J. Fritsch, 2012), with solos to train on.

The paper tests on two of the five: Brahms (horn, piano, violin) and Lussier (bassoon, piano,
trumpet). A piece is one clip of three sources, each in mono (the mean of its channels), at the
level at which it was recorded; their sum is the mixture. What trains is solo recordings of the
same types of instruments, one clip each, from a folder of the user's own (see `solos`).

The layout that three public programs read (the Audio-Score Meta-Dataset ASMD, F. Cwitkowitz's
transcribers, Silvet's tests) is `TRIOS_dataset/PIECE/INSTRUMENT.wav`: the pieces are `brahms`,
`lussier`, `mozart`, `schubert` and `take_five`. Two of them name a `mix.wav` beside the tracks, one
the archive at Zenodo, which unpacks to `TRIOS Dataset`. Guessed beyond that, so that other copies
are read as well: any case, other endings, `Brahms_horn.wav`, `french_horn.wav`, and longer names of
a piece's folder such as `Brahms_Op40`. A `mix` is never read as a source.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.datasets import remote
from unmix.datasets.digests import digests
from unmix.datasets.fetching import fetched
from unmix.datasets.solos import Solos, mono
from unmix.datasets.solos_files import (
    child,
    folders,
    instrument_of,
    listing,
    plain,
    sound_files,
)
from unmix.datasets.track import Clip, Track
from unmix.errors import AudioError, DatasetError, command, one_of

PIECES: Mapping[str, tuple[str, ...]] = {
    "brahms": ("horn", "piano", "violin"),
    "lussier": ("bassoon", "piano", "trumpet"),
}
"""The paper's trios, and the instruments of each."""

HOMES = ("TRIOS", "TRIOS_dataset", "TRIOS Dataset")
"""Names of the dataset's folder: ours, and those that its archives unpack to."""

MIXES = ("mix", "mixture")
"""Names of a file that holds the whole trio."""

TOLERANCE = 0.1
"""Difference in seconds between the tracks of a piece that is filled up with silence."""

ARCHIVES = (remote.Archive("https://zenodo.org/records/6797837/files/TRIOS Dataset.zip"),)
"""The record at Zenodo, as one public program names it; the university's own host is gone. No
checksum is known, which is why `fetch` decodes what comes out of it."""

BESIDE = "solos"
"""Recordings that have to be there as well before the dataset can be used."""


class Trios:
    """The two pieces, and the solo recordings that train for each.

    Attributes:
        home: the folder of TRIOS.
        pieces: the file of each instrument, for each piece that can be used.
        left_out: pieces that cannot be used, with the reason.
        solos: the recordings.
        fidelity: `full` where both pieces and solos of all their instruments are there, else
            `subset`. It is about what is tested, the paper's own two trios. What trains is never
            the paper's, whose database is private; the paper's own statement is that knowing the
            types of the instruments suffices, and any recordings of these types put it to the test.
    """

    name = "trios"
    source_names: tuple[str, ...] = ("bassoon", "horn", "piano", "trumpet", "violin")

    def __init__(self, root: str | os.PathLike) -> None:
        """Find pieces and recordings; reads headers, no sound.

        Args:
            root: the data root, which holds the folders TRIOS and solos.

        Raises:
            DatasetError: either folder is missing, or neither piece can be used.
        """
        self.home, found, broken = find_pieces(root)
        self.solos = Solos(root)
        self.pieces: dict[str, dict[str, Path]] = {}
        self.left_out: dict[str, str] = dict(broken)
        for piece, paths in found.items():
            try:
                self.solos.parts(PIECES[piece])
            except DatasetError as error:
                self.left_out[piece] = str(error)
            else:
                self.pieces[piece] = paths
        if not self.pieces:
            raise DatasetError(
                f"{self.home}: neither trio can be used ({' '.join(self.left_out.values())})",
                expected="the tracks of a trio, and solo recordings of each of its instruments",
                do="`unmix data verify trios` and `unmix data verify solos` say what is there",
            )
        self.fidelity = "subset" if self.left_out else "full"
        self._fingerprint: str | None = None

    def clips(self) -> list[Clip]:
        """Return the pieces, then the solo recordings."""
        return [*(Clip(piece, piece) for piece in self.pieces), *self.solos.clips()]

    def split(self, name: str) -> dict[str, list[str]]:
        """Return the clip names of each part, for the trio of that name.

        `test` is the piece; `train` and `valid` are solo recordings of its instruments, see
        `solos.held_out`.

        Raises:
            DatasetError: there is no such trio, or it cannot be used.
        """
        if name not in PIECES:
            raise DatasetError(
                one_of("split", name, PIECES), expected=f"one of {', '.join(PIECES)}"
            )
        if name not in self.pieces:
            raise DatasetError(f"the trio {name} is left out: {self.left_out[name]}")
        return {**self.solos.parts(PIECES[name]), "test": [name]}

    def material(self) -> dict[str, list[float]]:
        """Return the lengths of the solo recordings, see `Solos.material`."""
        return self.solos.material()

    def load(self, clip_name: str, rate: int) -> Track:
        """Return a piece's three sources or a solo recording's one, float32 `(1, samples)`.

        All is resampled to `rate` Hz, each file from its own rate.

        Raises:
            DatasetError: there is no such clip.
            AudioError: a file cannot be read, is cut short or is silent throughout, or the tracks
                of a piece differ in length.
        """
        if clip_name in self.pieces:
            sources = decode(clip_name, self.pieces[clip_name], rate)
            return Track(Clip(clip_name, clip_name), rate, sources)
        if clip_name in self.left_out:
            raise DatasetError(f"the trio {clip_name} is left out: {self.left_out[clip_name]}")
        return self.solos.load(clip_name, rate)

    def fingerprint(self) -> str:
        """Return a SHA-256 over every track and every solo recording, computed once."""
        if self._fingerprint is None:
            whole = hashlib.sha256(self.solos.fingerprint().encode())
            of_file = digests(
                "trios", (path for of in self.pieces.values() for path in of.values())
            )
            for piece, tracks in self.pieces.items():
                for instrument, path in tracks.items():
                    whole.update(f"{piece}\0{instrument}\0{of_file[path]}\n".encode())
            self._fingerprint = whole.hexdigest()
        return self._fingerprint


def decode(piece: str, paths: Mapping[str, Path], rate: int) -> dict[str, np.ndarray]:
    """Return the sources of a piece at `rate` Hz, each float32 `(1, samples)`, of equal length.

    Raises:
        AudioError: a file cannot be read, is cut short or is silent, or their lengths differ by
            more than `TOLERANCE`.
    """
    sounds = {instrument: mono(path, rate) for instrument, path in paths.items()}
    lengths = {instrument: sound.shape[1] for instrument, sound in sounds.items()}
    longest = max(lengths.values())
    if longest - min(lengths.values()) > TOLERANCE * rate:
        told = ", ".join(f"{name} {length / rate:.2f} s" for name, length in lengths.items())
        raise AudioError(
            f"{piece}: its tracks differ in length ({told})",
            expected=f"equal lengths (up to {TOLERANCE:g} s are filled up with silence)",
            do="copy or fetch the piece anew; one of its tracks may be cut short",
        )
    return {
        name: np.pad(sound, ((0, 0), (0, longest - sound.shape[1])))
        for name, sound in sounds.items()
    }


def find_pieces(
    root: str | os.PathLike,
) -> tuple[Path, dict[str, dict[str, Path]], dict[str, str]]:
    """Return the dataset's folder, the tracks of each whole piece, and why others are not whole.

    Raises:
        DatasetError: the folder is missing, or has no folder of either piece.
    """
    root = Path(root)
    outer = child(root, *HOMES)
    # Some programs unpack the archive into a folder of its own name.
    home = next((each for each in (outer, outer and child(outer, *HOMES)) if _holds(each)), None)
    if home is None:
        what = f"{outer} holds no folder brahms or lussier" if outer else "there is no such folder"
        raise DatasetError(
            f"TRIOS was not found: {root / 'TRIOS'}: {what}",
            expected="the dataset's own layout, TRIOS/brahms/horn.wav",
            do=f"give the folder above {root} as the data root" if _holds(root) else get_it(root),
        )
    whole, broken = {}, {}
    for piece, instruments in PIECES.items():
        folder = _folder(home, piece)
        if folder is None:
            broken[piece] = f"there is no folder {home / piece}."
            continue
        tracks = _tracks(folder, piece)
        if twice := [each for each in instruments if len(tracks.get(each, [])) > 1]:
            names = " and ".join(path.name for path in tracks[twice[0]])
            broken[piece] = f"{folder}: {names} are both its {twice[0]}; leave one of them there."
        elif lacks := [each for each in instruments if each not in tracks]:
            broken[piece] = f"{folder}: has no {' and no '.join(lacks)} (such as {lacks[0]}.wav)."
        else:
            whole[piece] = {each: tracks[each][0] for each in instruments}
    return home, whole, broken


def _holds(home: Path | None) -> bool:
    return home is not None and any(_folder(home, piece) for piece in PIECES)


def _folder(home: Path, piece: str) -> Path | None:
    """Return the folder of a piece: of that name, else the first whose name begins with it."""
    found = [each for each in folders(home) if plain(each.name).split(" ")[0] == piece]
    return min(found, key=lambda each: (plain(each.name) != piece, each.name), default=None)


def _tracks(folder: Path, piece: str) -> dict[str, list[Path]]:
    """Return the sound files of each instrument, in the folder itself."""
    found: dict[str, list[Path]] = {}
    for path in sound_files(folder):
        instrument = instrument_of(plain(path.stem).removeprefix(piece))
        if instrument and path.parent == folder:
            found.setdefault(instrument, []).append(path)
    return found


def get_it(root: str | os.PathLike = "data") -> str:
    """Return what to do where the dataset, or a part of it, is missing from a data root."""
    fetch = command("data", "fetch", "trios", data_root=root)
    return (
        f"run `{fetch}` and put solo recordings into {Path(root) / 'solos'}, or set UNMIX_DATA or "
        "--data-root to the folder above both"
    )


def here(root: str | os.PathLike) -> bool:
    """Return whether a data root holds one of the trios, and solos of all its instruments."""
    with suppress(DatasetError):
        pieces, files = find_pieces(root)[1], listing(root).files
        return any(all(files[each] for each in PIECES[piece]) for piece in pieces)
    return False


def verify(root: str | os.PathLike) -> remote.Report:
    """Decode the tracks of both pieces, and hold each piece's mix against their sum.

    No checksums are known: that every track is there and can be decoded, and that the tracks of a
    piece are equally long, is what is looked at. The other three trios are not.

    Raises:
        DatasetError: the folder is missing, or has no folder of either piece.
    """
    home, whole, broken = find_pieces(root)
    expected = sum(map(len, PIECES.values()))
    fine, altered, notes = 0, [f"{piece}: {why}" for piece, why in broken.items()], []
    for piece, paths in whole.items():
        try:
            decode(piece, paths, audio.header(next(iter(paths.values())))[1])
        except AudioError as error:
            altered.append(str(error))
            continue
        fine += len(paths)
        notes += _of_mix(piece, paths)
    notes.append(
        "The trios are the paper's test pieces. What trains are solo recordings of your own, for "
        "the paper's are private: `unmix data verify solos` says which are there."
    )
    if altered:
        notes.append(f"What to do: {get_it(root)}.")
    return remote.Report(str(home), expected, fine, altered=altered, notes=notes)


def _of_mix(piece: str, paths: Mapping[str, Path]) -> list[str]:
    """Say how a piece's own mix, which is not read otherwise, comes from its tracks."""
    folder = next(iter(paths.values())).parent
    names = [*MIXES, *(f"{piece} {each}" for each in MIXES)]
    mixes = [path for path in sound_files(folder) if plain(path.stem) in names]
    if not mixes:
        return []
    try:
        rate = audio.header(mixes[0])[1]
        mix = mono(mixes[0], rate)[0].astype(np.float64)
    except AudioError as error:
        return [f"{piece}: its mix, which is not needed, cannot be read ({error})"]
    sources = np.concatenate(list(decode(piece, paths, rate).values())).astype(np.float64)
    length = min(len(mix), sources.shape[1])
    mix, sources = mix[:length], sources[:, :length]
    gains = np.linalg.lstsq(sources @ sources.T, sources @ mix, rcond=None)[0]
    rest = np.sum((mix - gains @ sources) ** 2) / np.sum(mix**2)
    told = ", ".join(f"{gain:.3f} {name}" for gain, name in zip(gains, paths, strict=True))
    level = f"{10 * np.log10(max(rest, 1e-20)):.0f} dB"
    return [
        f"{piece}: {mixes[0].name} is {told}, with a rest of {level}. The mixture here is the "
        "plain sum of the tracks."
    ]


def fetch(
    root: str | os.PathLike,
    *,
    archives: Sequence[remote.Archive] = ARCHIVES,
    progress: remote.Progress | None = None,
) -> remote.Report:
    """Download, unpack and verify TRIOS, unless both pieces are there already.

    The archive is kept in `ROOT/downloads` until what it held has been verified.
    An incomplete `ROOT/TRIOS` is renamed to `TRIOS.old-1`, not deleted.

    Args:
        root: the data root; made if it does not exist.
        archives: where to look, in this order.
        progress: called while bytes arrive; see `remote.bar`.

    Returns:
        the report of `verify`; a caller must look at its `ok`.

    Raises:
        DatasetError: no host gives the archive, it is damaged or unsafe, or the disk is full.
    """
    home = Path(root) / "TRIOS"
    return fetched(
        home,
        verify,
        archives,
        inside="brahms",
        get=f"get {' or '.join(each.url for each in archives)}",
        example=home / "brahms" / "horn.wav",
        progress=progress,
    )
