"""Declared forms of files: JSON schemas, and one clear error where a file breaks one."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from unmix.errors import SpecError
from unmix.files import from_yaml

FOLDER = Path(__file__).parent / "schemas"


@functools.cache
def schema(name: str) -> Mapping[str, Any]:
    """Return a schema by name: `claims`, `audit`, `findings` or `verdicts`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def read_yaml(path: Path, form: str) -> Any:
    """Return what a YAML file holds, once it has been held against its schema.

    Args:
        path: the file.
        form: name of the schema.

    Raises:
        SpecError: the file is missing, is no YAML, or breaks the schema; the message names the
            place in the file.
    """
    try:
        data = from_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}", do="restore the file") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is no YAML: {error}", do="mend the line that it names") from error
    check(data, form, str(path))
    return data


def check(data: Any, form: str, name: str) -> None:
    """Hold data against a schema.

    Raises:
        SpecError: they break it; the message names the file, the place and what is wrong there.
    """
    from fastjsonschema import JsonSchemaValueException

    try:
        _validator(form)(data)
    except JsonSchemaValueException as error:
        path = [int(part) if part.isdigit() else part for part in error.path[1:]]
        wrong = str(error.message).removeprefix(str(error.name)).strip()
        raise SpecError(
            f"{name}: at {_named(data, path) or 'the top'}: {wrong}",
            expected=f"what src/unmix/verdicts/schemas/{form}.json declares",
            do="mend the file",
        ) from error


@functools.cache
def _validator(form: str) -> Callable[[Any], Any]:
    import fastjsonschema  # jsonschema itself takes seconds to import

    return fastjsonschema.compile(dict(schema(form)))  # type: ignore[no-any-return]


def _named(data: Any, path: list[Any]) -> str:
    """Return a place in words: by the id of the list's entry that holds it, if it has one."""
    for depth, part in enumerate(path):
        data = data[part]
        if isinstance(data, dict) and "id" in data:
            path = [data["id"], *path[depth + 1 :]]
            break
    return "/".join(str(each) for each in path)
