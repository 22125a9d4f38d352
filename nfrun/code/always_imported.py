"""Finds the imports in a syntax tree that run whenever the code runs.

Those under `if`, `try`, `match` and `with suppress(…)` do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from nfrun.code.bindings import FUNCTIONS, imports_of

_MAY_NOT_RUN = (*FUNCTIONS, ast.If, ast.Try, ast.TryStar, ast.Match)


def always_imported(body: Iterable[ast.AST], package: str) -> Iterator[tuple[str, int]]:
    """Yield the modules that statements import whenever they run, with their lines; none of functions."""
    left = list(body)[::-1]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((load, node.lineno) for _, imported in imports_of(node, package) for load in imported.loads)
        elif not isinstance(node, _MAY_NOT_RUN) and not _suppresses(node):
            for part in ("finalbody", "orelse", "body"):
                left += getattr(node, part, ())[::-1]


def _suppresses(node: ast.AST) -> bool:
    """Return whether a statement may catch the error of an import, as `with suppress(ImportError)` does."""
    return isinstance(node, ast.With) and any("suppress" in ast.dump(item) for item in node.items)
