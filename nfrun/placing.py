"""Expressions within a pipeline file: where they may stand, and where one stands exactly. Evaluates nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from nfrun.document import Document
from nfrun.errors import Problem
from nfrun.expressions import OPEN, Flaw, check, has_expression

Keys = tuple[str | int, ...]

RUN_NAMES = ("id", "name", "folder")

_PLACES = "expressions stand in 'with', 'env', 'read' and 'write'"
_INSTEAD = {
    "sql": "put it under 'with' and write $name: values are bound, never pasted into a query",
    "run": "put it under 'with' and write \"$NFRUN_WITH_name\": values are never pasted into a script",
    "python": "which function runs is fixed; put values under 'with'",
    "inputs": "what a node reads is fixed; put values under 'with'",
    "needs": "what a node needs is fixed",
    "outputs": "what there is to read is fixed",
    "params": "a parameter has a plain value; put the expression where it is used: 'with', 'env', 'read' or 'write'",
}
_PLAIN_JINJA = re.compile(r"(?<!\$)\{\{-?\s*(?:params|env|run)\b")


def strings(value: Any, mark: str, path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Every string with the mark in a nested value, with its path. Documents are at most 64 deep: recursion will do."""
    if isinstance(value, str):
        if mark in value:
            yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(item, str) or mark in item:
                yield from strings(item, mark, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            if not isinstance(item, str) or mark in item:
                yield from strings(item, mark, (*path, i))


def check_expressions(document: Document, broken: Mapping[Keys, object]) -> Iterator[tuple[Keys, Problem]]:
    """What is wrong with the expressions of the file, each with its path.

    `broken` are the paths that the schema refuses: what is inside of those is not looked at.
    """
    params = document.root.get("params") if isinstance(document.root, dict) else None
    # A key that does not exist may have been meant to be 'params'.
    known = list(params) if isinstance(params, dict) else None if any(len(path) == 1 for path in broken) else []
    names = {"params": known, "env": None, "run": RUN_NAMES}
    for path, value in strings(document.root, "{{"):
        if not path or any(path[:i] in broken for i in range(1, len(path))):
            continue
        for mark, flaw in _flaws(path, value, names):
            where = document.where_within(path, mark, value.count(mark, 0, flaw.start), flaw.length)
            yield path, Problem(where, flaw.what, flaw.hint)


def _flaws(path: Keys, value: str, names: Mapping[str, Collection[str] | None]) -> Iterator[tuple[str, Flaw]]:
    """What is wrong in a string, each with the mark that it begins with."""
    if may_stand(path):
        for found in _PLAIN_JINJA.finditer(value):
            yield "{{", Flaw(found.start(), 2, "'{{' alone begins no expression", "write ${{ … }}")
        for flaw in check(value, names):
            yield OPEN, flaw
    elif has_expression(value):
        start = value.index(OPEN)
        length = max(len(OPEN), value.find("}}", start) + 2 - start)
        yield OPEN, Flaw(start, length, "an expression is not evaluated here", _instead(path))


def may_stand(path: Keys) -> bool:
    """Whether expressions are evaluated in the value at this path."""
    if path[:1] == ("env",) or path[:2] == ("defaults", "env"):
        return True
    return path[:1] == ("nodes",) and len(path) > 2 and path[2] in ("with", "env", "read", "write")


def _instead(path: Keys) -> str:
    """What to do where expressions are not evaluated."""
    key = path[2] if path[0] == "nodes" and len(path) > 2 else path[0]
    return _INSTEAD.get(str(key), _PLACES)
