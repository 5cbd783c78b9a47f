"""A fingerprint of the code that produces a result.

It covers the given modules of this package and all that they import from it, each as its syntax
tree without docstrings: comments, docstrings and layout do not count, everything else does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

LEFT_OUT = {
    "unmix",
    "unmix.errors",
    "unmix.files",
    "unmix.runs.checksums",
    "unmix.runs.machine",
    "unmix.runs.remote",
}
"""Modules that change no number."""


@functools.cache
def _tree(module: str) -> tuple[str, tuple[str, ...]]:
    """Return the stripped syntax tree of a module as text, and the modules that it imports."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.append(node.module)
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A bare string is a docstring, of a module, class, function or attribute.
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return ast.dump(tree), tuple(name for name in imported if name.startswith("unmix"))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def producing_modules(roots: Iterable[str]) -> list[str]:
    """Return the names of `roots` and of all modules of this package that they import, sorted."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in found or module in LEFT_OUT or not _exists(module):
            continue
        found.add(module)
        waiting += _tree(module)[1]
    return sorted(found)


def fingerprint(roots: Iterable[str]) -> str:
    """Return a hash over the code of `producing_modules(roots)`."""
    whole = hashlib.sha256()
    for module in producing_modules(roots):
        whole.update(f"{module}\n{_tree(module)[0]}\n".encode())
    return whole.hexdigest()
