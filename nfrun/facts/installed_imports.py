"""Lists the modules of installed packages that the code of a function imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nfrun.code.bindings import imports_of
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.module_finder import find_module, is_installed

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # the statements inside of a statement


def installed_imports(code: Fingerprints, module: str, function: str) -> Sequence[str]:
    """Return the modules of installed packages that are imported by the code that the function may reach.

    The standard library is left out. The result is cached.
    """
    found: _Imports = code.memo.setdefault("installed imports", None) or _Imports(code)
    code.memo["installed imports"] = found
    return found.of(module, function)


class _Imports:
    """Finds the imports of each statement and each module once."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._found: dict[tuple[str, str], list[str]] = {}
        self._inside: dict[int, Sequence[str]] = {}  # by the id of a group of statements
        self._installed: dict[str, bool] = {}

    def of(self, module: str, function: str) -> Sequence[str]:
        start = module, function
        if start not in self._found:
            names = dict.fromkeys(self._names(*start))
            self._found[start] = [name for name in names if self._is_installed(name)]
        return self._found[start]

    def _names(self, module: str, function: str) -> Iterator[str]:
        """Yield the names of the modules that are imported at the top of modules, and inside of functions."""
        loaded: dict[str, None] = {module: None}
        for group in self._code.reached(module, function):
            symbols = self._code.symbols_of(group[0].module)
            if symbols is not None:
                loaded[group[0].module] = None
                if id(group) not in self._inside:
                    bodies = (piece.definition.body for piece in group)
                    self._inside[id(group)] = [name for body in bodies for name in _inside(body, symbols.package)]
                yield from self._inside[id(group)]
        left = list(loaded)
        while left:
            symbols = self._code.symbols_of(left.pop())
            for name in symbols.loads if symbols is not None else ():
                yield name
                if name not in loaded:
                    loaded[name] = None
                    left.append(name)

    def _is_installed(self, module: str) -> bool:
        if module not in self._installed:
            self._installed[module] = _is_installed(module, self._code.folder)
        return self._installed[module]


def _inside(statement: ast.AST, package: str) -> Iterator[str]:
    """Yield the names of the modules that a statement imports, or one in it."""
    left = [statement]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            for _, imported in imports_of(node, package):
                yield from imported.loads
        elif isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            for name in _BLOCKS:
                left.extend(getattr(node, name, ()))


def _is_installed(module: str, folder: Path) -> bool:
    if module.partition(".")[0] in sys.stdlib_module_names:
        return False
    spec = find_module(module, folder)
    return spec is not None and spec.origin is not None and is_installed(Path(spec.origin), folder)
