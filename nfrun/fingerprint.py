"""Tells what code a function may call, as digests, by reading the sources of the project. Imports and runs nothing."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from nfrun.callables import find_module
from nfrun.checksum import text_checksum

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Fingerprints:
    """Reads each module once. `folder` is the pipeline's, searched before the places where Python looks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, tuple[str, tuple[str, ...]] | None] = {}
        self._found: dict[str, Mapping[str, str]] = {}

    def of(self, module: str, function: str) -> Mapping[str, str]:
        """By module, digests of the function's own and of all those of the project that it imports, at any depth."""
        if module not in self._found:
            reached: dict[str, str] = {}
            left = [module]
            while left:
                name = left.pop()
                read = self._read(name) if name not in reached else None
                if read is not None:
                    reached[name] = read[0]
                    left.extend(read[1])
            self._found[module] = dict(sorted(reached.items()))
        return self._found[module]

    def _read(self, module: str) -> tuple[str, tuple[str, ...]] | None:
        if module not in self._modules:
            self._modules[module] = self._look_at(module)
        return self._modules[module]

    def _look_at(self, module: str) -> tuple[str, tuple[str, ...]] | None:
        spec = find_module(module, self._folder)
        if spec is None or spec.origin is None or spec.origin.startswith(_INSTALLED):
            return None
        try:
            tree = ast.parse(Path(spec.origin).read_bytes())
            package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
            return text_checksum(ast.dump(tree)), tuple(dict.fromkeys(_imports(tree, package)))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return "unreadable", ()


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
