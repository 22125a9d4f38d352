"""Lists the modules of installed packages that the code of a function imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nfrun.code.bindings import imports_of
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.module_finder import find_module, is_installed


def installed_imports(code: Fingerprints, module: str, function: str) -> Sequence[str]:
    """Return the modules that the code imports that the function may reach, without the standard library.

    Only those of installed packages. The result is cached.
    """
    known: dict[tuple[str, str], list[str]] = code.memo.setdefault("installed imports", {})
    start = module, function
    if start not in known:
        names = dict.fromkeys(_imports(code, *start))
        known[start] = [name for name in names if _is_installed(name, code.folder)]
    return known[start]


def _imports(code: Fingerprints, module: str, function: str) -> Iterator[str]:
    """Yield the names of the modules that are imported at the top of modules, and inside of functions."""
    seen: set[str] = set()
    for piece in code.reached(module, function):
        symbols = code.symbols_of(piece.module)
        if symbols is None:
            continue
        if piece.module not in seen:
            seen.add(piece.module)
            yield from symbols.loads
        for node in ast.walk(piece.definition.body):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for _, imported in imports_of(node, symbols.package):
                    yield from imported.loads


def _is_installed(module: str, folder: Path) -> bool:
    if module.partition(".")[0] in sys.stdlib_module_names:
        return False
    spec = find_module(module, folder)
    return spec is not None and spec.origin is not None and is_installed(Path(spec.origin), folder)
