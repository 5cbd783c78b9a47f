"""The errors a user can meet.

Every one of them says what was found, what was expected and what to do about it. The command
line prints the message alone and exits with status 1; everything else that is raised is a defect.
"""

from __future__ import annotations

import shlex


class UnmixError(Exception):
    """Base of all errors that a user, a file or a machine can cause."""

    def __init__(self, found: str, *, expected: str = "", do: str = "") -> None:
        """Compose one message from what was `found`, `expected`, and what to `do`."""
        parts = [found.rstrip(".") + "."]
        if expected:
            parts.append(f"Expected: {expected.rstrip('.')}.")
        if do:
            parts.append(f"What to do: {do.rstrip('.')}.")
        super().__init__(" ".join(parts))
        self.found, self.expected, self.do = found, expected, do

    def __reduce__(self) -> tuple:
        """Survive the way back from a worker process with the three parts intact."""
        return (_rebuild, (type(self), self.found, self.expected, self.do))


def _rebuild(kind: type[UnmixError], found: str, expected: str, do: str) -> UnmixError:
    return kind(found, expected=expected, do=do)


class AudioError(UnmixError):
    """A sound file cannot be used."""


class DatasetError(UnmixError):
    """A dataset is missing, incomplete or not what it should be."""


class SpecError(UnmixError):
    """The settings of a run are unknown, incomplete or contradict each other."""


class StoreError(UnmixError):
    """A run cannot be read from or written to the store."""


class CheckpointError(UnmixError):
    """A checkpoint is damaged or belongs to other settings."""


class BookError(UnmixError):
    """The book did not pass one of its gates."""


def one_of(what: str, found: object, known: object) -> str:
    """Return the text of an 'unknown name' error, with the closest known name if there is one."""
    import difflib

    names = [str(name) for name in known]  # type: ignore[attr-defined]
    near = difflib.get_close_matches(str(found), names, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"unknown {what} '{found}'{hint}"


def command(*words: str, **options: object) -> str:
    """Return the command line of `unmix` that a message tells a user to type.

    Options without a value (None, empty, zero, False) are left out; True is a bare flag.
    """
    parts = ["unmix", *words]
    for name, value in options.items():
        if value:
            parts.append(f"--{name.replace('_', '-')}")
            parts += [] if value is True else [str(value)]
    return shlex.join(parts)
