"""Checks the expressions of a pipeline file: whether they are allowed where they stand, and which names they use.

Nothing is evaluated. `expressions.py` checks the text of each expression; this module supplies the names that the file
defines and locates the problems in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from nfrun.core.contracts import BUILT_IN_CHECKS
from nfrun.core.errors import Problem
from nfrun.core.pipeline import EXPRESSION_START, LAST_SECTIONS, has_expression
from nfrun.core.values import replace
from nfrun.nodes.registry import KINDS
from nfrun.pipeline_file.axes import NO_AXES, DeclaredAxes
from nfrun.pipeline_file.expressions import SECRET_INSTEAD, Seen, check, has_secret
from nfrun.pipeline_file.overlays import as_of_node, inside_profile
from nfrun.pipeline_file.settings import FIXED, WITH_EXPRESSIONS
from nfrun.pipeline_file.yaml.document import Document, Keys, entries, mapping

_SECTIONS = ("nodes", *LAST_SECTIONS)
_MAX_DIAGNOSTICS = 10  # per string: the time to locate one in the file grows with the string
_PLAIN_JINJA = re.compile(r"(?<!\$)\{\{-?\s*(?:params|env|run|secrets|matrix)\b")


def _strings(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Yield each string that contains `{{` in a nested value, with its path.

    Recursion is safe: documents are at most 64 levels deep.
    """
    for key, item in entries(value):
        if not isinstance(item, str):
            yield from _strings(item, (*path, key))
        elif "{{" in item:
            yield (*path, key), item


def check_expressions(
    document: Document, broken: Mapping[Keys, object], axes: DeclaredAxes = NO_AXES
) -> Iterator[Problem]:
    """Yield the problems with the file's expressions; at most 10 per string.

    `broken` holds the paths that the schema rejects; values inside them are skipped. `axes` are those of the nodes.
    """
    root = mapping(document.root)
    names = _Names(root, broken, axes)
    for path, value in _strings(root):
        if any(path[:i] in broken for i in range(1, len(path))) or str(path[0]).startswith("x-"):
            continue
        for found in islice(_check_string(as_of_node(inside_profile(path)), value, names), _MAX_DIAGNOSTICS):
            yield replace(found, path=path)


class _Names:
    """Holds the names that expressions may use in this file.

    `withheld` are the keys of `env` that are secret.
    """

    def __init__(self, root: Mapping[str, Any], broken: Mapping[Keys, object], axes: DeclaredAxes) -> None:
        self._axes = axes
        params, secrets, env = root.get("params"), root.get("secrets"), root.get("env")
        # An unknown key at the top of the file may be a misspelt 'params' or 'secrets'.
        unknown: list[str] | None = None if any(len(path) == 1 for path in broken) else []
        self._known: dict[str, Collection[str] | None] = {
            "params": list(params) if isinstance(params, dict) else unknown,
            "env": None,
            "run": ("id", "date", "name", "folder"),
        }
        items = [item for item in secrets if isinstance(item, str)] if isinstance(secrets, list) else []
        self._secrets = None if any(path[:1] == ("secrets",) for path in broken) else items or unknown
        made = [key for key, value in entries(env) if isinstance(value, str) and has_secret(value)]
        self.withheld = {*items, *made}

    def at(self, path: Keys) -> Seen:
        """Return what expressions see in the value at this path."""
        seen = dict(self._known)
        node = str(path[1]) if path[0] == "nodes" and path[2:3] != ("matrix",) else ""
        if node and (node in self._axes.unclear or self._axes.of_nodes.get(node)):
            seen["matrix"] = None if node in self._axes.unclear else self._axes.seen_by(node)
        if path[0] == "matrix" or (path[0] in _SECTIONS and path[2:3] in (("matrix",), ("if",))):
            seen["run"] = ("name", "folder")  # the graph does not depend on the others
        return {**seen, "secrets": self._secrets} if _is_env(path) else seen


def _check_string(path: Keys, value: str, names: _Names) -> Iterator[Problem]:
    """Yield the problems in the string at `path`."""
    if may_stand(path):
        for found in _PLAIN_JINJA.finditer(value):
            what, hint = "'{{' alone begins no expression", "write ${{ … }}"
            yield Problem((), what, hint, start=found.start(), length=2)
        yield from check(value, names.at(path), names.withheld)
    elif has_expression(value):
        start = value.index(EXPRESSION_START)
        length = max(len(EXPRESSION_START), value.find("}}", start) + 2 - start)
        hint = SECRET_INSTEAD if has_secret(value[start : start + length]) else _hint_at(path)
        yield Problem((), "an expression is not evaluated here", hint, start=start, length=length)


def may_stand(path: Keys) -> bool:
    """Whether expressions are evaluated in the value at this path."""
    key = path[2] if path[0] in _SECTIONS and len(path) > 2 else ""
    if key == "matrix" or path[0] == "matrix":
        inner = path[3:] if key else path[1:]
        return bool(inner) and isinstance(inner[0], str) and inner[0] != "exclude" and inner[1:2] != ("of",)
    if path[0] == "defaults" and len(path) > 1 and path[1] in WITH_EXPRESSIONS:
        return True
    if "checks" in path[2:5] and path[0] in _SECTIONS:
        inner = path[path.index("checks", 2) + 2 :]
        return bool(inner) and inner[0] in (*BUILT_IN_CHECKS, "with", "allow") and inner[0] != "references"
    if key == "map" and (path[3] if len(path) > 3 else "over") in FIXED:
        return False
    is_template = key in KINDS and KINDS[str(key)].says.is_template
    return _is_env(path) or is_template or key in ("with", "files", "if", *WITH_EXPRESSIONS)


def _is_env(path: Keys) -> bool:
    """Whether this is the path of an environment variable. Secrets are allowed only there."""
    return path[:1] == ("env",) or path[:2] == ("defaults", "env") or (path[0] in _SECTIONS and path[2:3] == ("env",))


def _hint_at(path: Keys) -> str:
    """Return the hint for an expression in a place where none is evaluated."""
    key = str(path[2] if path[0] in _SECTIONS and len(path) > 2 else path[0])
    if key == "map":
        return "which input is cut, 'on_error' and 'explode' are the same in every run"
    templates = [name for name, of in KINDS.items() if of.says.is_template]
    hint = KINDS[key].says.expression_hint if key in KINDS else ""
    return hint or f"expressions stand in {', '.join(['with', 'env', 'files', 'if', *WITH_EXPRESSIONS, *templates])}"
