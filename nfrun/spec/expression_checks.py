"""Checks the expressions of a pipeline file: whether they are allowed where they stand, and which names they use.

Nothing is evaluated. `expressions.py` checks the text of each expression; this module supplies the names that the file
defines and locates the problems in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from nfrun.core.errors import Diagnostic
from nfrun.core.pipeline import EXPRESSION_START, has_expression
from nfrun.core.text import ellipsize
from nfrun.nodes.registry import KINDS
from nfrun.spec.expressions import SECRET_INSTEAD, ExpressionDiagnostic, check, has_secret
from nfrun.yaml.document import Document, Keys, entries

_INSTEAD = {
    "inputs": "what a node reads is fixed; put values under 'with'",
    "needs": "what a node needs is fixed",
    "outputs": "what there is to read is fixed",
    "secrets": "write the names of environment variables",
}
_SAME_GRAPH = "the graph is the same in every run"
_MAX_DIAGNOSTICS = 10  # per string: the time to locate one in the file grows with the string
_PLAIN_JINJA = re.compile(r"(?<!\$)\{\{-?\s*(?:params|env|run|secrets)\b")


def _strings(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Yield each string that contains `{{` in a nested value, with its path.

    Recursion is safe: documents are at most 64 levels deep.
    """
    for key, item in entries(value):
        if not isinstance(item, str):
            yield from _strings(item, (*path, key))
        elif "{{" in item:
            yield (*path, key), item


def check_expressions(document: Document, broken: Mapping[Keys, object]) -> Iterator[tuple[Keys, Diagnostic]]:
    """Yield the problems with the file's expressions, each with its path; at most 10 per string.

    `broken` holds the paths that the schema rejects; values inside them are skipped.
    """
    root = document.root if isinstance(document.root, dict) else {}
    names = _Names(root, broken)
    for path, value in _strings(root):
        if any(path[:i] in broken for i in range(1, len(path))):
            continue
        for diagnostic in islice(_check_string(path, value, names), _MAX_DIAGNOSTICS):
            where = document.span_within(path, diagnostic.start, diagnostic.length)
            yield path, Diagnostic(where, diagnostic.message, diagnostic.hint)


class _Names:
    """Holds the names that expressions may use in this file.

    A top-level name maps to its keys, or to None where they are not known.
    """

    def __init__(self, root: Mapping[str, Any], broken: Mapping[Keys, object]) -> None:
        params, secrets, env = root.get("params"), root.get("secrets"), root.get("env")
        # An unknown key at the top of the file may be a misspelt 'params' or 'secrets'.
        unknown: list[str] | None = None if any(len(path) == 1 for path in broken) else []
        self._known: dict[str, Collection[str] | None] = {
            "params": list(params) if isinstance(params, dict) else unknown,
            "env": None,
            "run": ("id", "name", "folder"),
        }
        items = [item for item in secrets if isinstance(item, str)] if isinstance(secrets, list) else []
        self._secrets = None if any(path[:1] == ("secrets",) for path in broken) else items or unknown
        self._withheld = {name: f"write ${{{{ secrets.{ellipsize(name)} }}}}" for name in items}
        self._secret_env = [key for key, value in entries(env) if isinstance(value, str) and has_secret(value)]

    def at(self, path: Keys) -> tuple[Mapping[str, Collection[str] | None], Mapping[str, str]]:
        """Return the names allowed in the value at this path, and the hint for each key of `env` withheld there."""
        if path[0] == "env":
            return {**self._known, "secrets": self._secrets}, self._withheld
        withheld = {**dict.fromkeys(self._secret_env, "write here what 'env' of the file has for it"), **self._withheld}
        if _is_env(path):
            return {**self._known, "secrets": self._secrets}, withheld
        if _is_condition(path):  # the graph is the same in every run
            return {**self._known, "run": ("name", "folder")}, dict.fromkeys(withheld, SECRET_INSTEAD)
        return self._known, dict.fromkeys(withheld, SECRET_INSTEAD)


def _check_string(path: Keys, value: str, names: _Names) -> Iterator[ExpressionDiagnostic]:
    """Yield the problems in the string at `path`."""
    if may_stand(path):
        for found in _PLAIN_JINJA.finditer(value):
            yield ExpressionDiagnostic(found.start(), 2, "'{{' alone begins no expression", "write ${{ … }}")
        for diagnostic in check(value, *names.at(path)):
            is_run_id = _is_condition(path) and diagnostic.message == "'run' has no 'id'"
            yield (
                replace(diagnostic, message="'if' does not see 'run.id'", hint=_SAME_GRAPH) if is_run_id else diagnostic
            )
    elif has_expression(value):
        start = value.index(EXPRESSION_START)
        length = max(len(EXPRESSION_START), value.find("}}", start) + 2 - start)
        hint = SECRET_INSTEAD if has_secret(value[start : start + length]) else _hint_at(path)
        yield ExpressionDiagnostic(start, length, "an expression is not evaluated here", hint)


def may_stand(path: Keys) -> bool:
    """Whether expressions are evaluated in the value at this path."""
    key = path[2] if path[0] == "nodes" and len(path) > 2 else ""
    return _is_env(path) or key in ("with", "files", "if") or (key in KINDS and KINDS[str(key)].is_template)


def _is_condition(path: Keys) -> bool:
    return path[0] == "nodes" and path[2:] == ("if",)


def _is_env(path: Keys) -> bool:
    """Whether this is the path of an environment variable. Secrets are allowed only there."""
    return path[:1] == ("env",) or path[:2] == ("defaults", "env") or (path[0] == "nodes" and path[2:3] == ("env",))


def _hint_at(path: Keys) -> str:
    """Return the hint for an expression in a place where none is evaluated."""
    key = str(path[2] if path[0] == "nodes" and len(path) > 2 else path[0])
    *places, last = [
        "'with'",
        "'env'",
        "'files'",
        "'if'",
        *(f"'{name}'" for name, kind in KINDS.items() if kind.is_template),
    ]
    if key == "params":
        return f"a parameter has a plain value; put the expression where it is used: {', '.join(places)} or {last}"
    hint = KINDS[key].expression_hint if key in KINDS else _INSTEAD.get(key)
    return hint or f"expressions stand in {', '.join(places)} and {last}"
