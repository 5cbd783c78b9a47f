"""Settings as plain data and back: nested frozen dataclasses to dictionaries that JSON can hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from typing import Any, TypeVar

from unmix.errors import SpecError, one_of

T = TypeVar("T")


def later(default: Any) -> Any:
    """Return a field for a setting that is younger than the evidence.

    At its default it stays out of the plain form, so that runs from before it came keep their
    identity; the default has to be what those runs did.
    """
    return dataclasses.field(default=default, metadata={"later": True})


def to_plain(value: Any) -> Any:
    """Return dictionaries, lists and scalars for (nested) dataclasses, dictionaries, sequences."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (field.metadata.get("later") and getattr(value, field.name) == field.default)
        }
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T], data: Any, where: str) -> T:
    """Return an instance of dataclass `cls` from plain data.

    Raises:
        SpecError: a setting is unknown, missing or of the wrong type; `where` names the place.
    """
    if not isinstance(data, dict):
        raise SpecError(f"{where}: {data!r}", expected=f"settings of {cls.__name__}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            raise SpecError(one_of(f"setting in {where}:", name, fields), expected=_list(fields))
    values = {}
    for name, item in data.items():
        values[name] = _converted(hints[name], item, f"{where}.{name}")
    try:
        return cls(**values)
    except TypeError as error:
        raise SpecError(f"{where}: {error}", expected=_list(fields)) from error


def _list(names: Any) -> str:
    return ", ".join(names)


def _converted(hint: Any, item: Any, where: str) -> Any:
    if hint is Any:
        return item
    if isinstance(hint, types.UnionType):
        if item is None:
            return None
        hint = next(option for option in hint.__args__ if option is not type(None))
    if dataclasses.is_dataclass(hint):
        return item if isinstance(item, hint) else from_plain(hint, item, where)  # type: ignore[arg-type]
    if hint is float and isinstance(item, int) and not isinstance(item, bool):
        return float(item)
    origin = typing.get_origin(hint) or hint
    if origin is tuple and isinstance(item, list):
        return tuple(item)
    if isinstance(origin, type) and (
        not isinstance(item, origin) or (isinstance(item, bool) and origin is not bool)
    ):
        raise SpecError(f"{where} is {item!r}", expected=f"a value of type {origin.__name__}")
    return item


def canonical(data: Any) -> str:
    """Return the one JSON text of plain data: sorted keys, no spaces."""
    return json.dumps(to_plain(data), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: Any) -> str:
    """Return the SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(data).encode()).hexdigest()
