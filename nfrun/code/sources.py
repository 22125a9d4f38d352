"""Reads and parses the modules of a project, each once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

from nfrun.code.module_index import ModuleIndex
from nfrun.code.names_reader import ignored_warnings
from nfrun.code.symbols import Symbols, all_imports, symbols_of
from nfrun.core.values import frozen, replace
from nfrun.system.checksums import file_checksum, text_checksum


@frozen
class Source:
    """A module of the project. Without a `tree`, the code cannot be analysed and has one `digest` as a whole.

    `words` are then the words in the text, which may be names of modules.
    """

    symbols: Symbols
    tree: ast.Module | None = None
    digest: str = ""
    words: Iterable[str] = ()
    is_package: bool = False
    file: Path | None = None


# What makes Arrow tables of other memory, or other objects of that of Arrow.
_HOLDERS = re.compile(
    "py_buffer|foreign_buffer|from_buffers|allocate_buffer|BufferReader|PythonFile|input_stream|(create_)?memory_map"
    "|open_(stream|file)|read_(message|record_batch)|_import_from_c|from_dlpack|to_(numpy|pandas)|__array__|df"
    "|fetch(_?df|numpy)"
)


class Sources:
    """Reads the modules of a project, which `index` finds.

    `read` has the modules that were asked for, None for one that is not of the project.
    """

    def __init__(self, index: ModuleIndex) -> None:
        self.index = index
        self.read: dict[str, Source | None] = {}
        self._imports: dict[str, frozenset[str]] = {}  # by module, what all of its code imports

    def get(self, module: str) -> Source | None:
        """Return the module if it and all packages around it belong to the project, else None."""
        source = None
        for name in with_packages(module):
            if name not in self.read:
                self.read[name] = self._read(name)
            source = self.read[name]
            if source is None:
                break
        return source

    def outside(self, modules: Iterable[str]) -> set[str]:
        """Return the packages outside of the project that any code of the modules imports, also through the project.

        Code that cannot be parsed, or makes tables of memory that it can hold, imports a package called "?".
        """
        found: set[str] = set()
        seen, left = {""}, list(modules)
        while left:
            module = left.pop()
            if module in seen:
                continue
            seen.add(module)
            source, top = self.get(module), module.partition(".")[0]
            if source is None:
                found.update(() if self.get(top) else (top,))  # a name in a module of the project is no module
            elif source.tree is None:
                found.add("?")
            else:
                if module not in self._imports:
                    imports = frozenset(all_imports(source.tree, source.symbols.package))
                    self._imports[module] = imports | {"?"} if _holds_memory(source.tree) else imports
                left.extend(self._imports[module])
        return found

    def _read(self, module: str) -> Source | None:
        spec = self.index.find(module)
        if spec is None:
            return None
        is_package = spec.submodule_search_locations is not None
        package = module if is_package else module.rpartition(".")[0]
        nothing = ast.Module([], [])
        if not spec.has_location or spec.origin is None:  # built-in, or a folder without an __init__.py
            return Source(symbols_of(nothing, package), nothing, is_package=True) if is_package else None
        path = Path(spec.origin)
        whole = Source(symbols_of(nothing, package), digest="unreadable", is_package=is_package, file=path)
        try:
            if path.suffix != ".py":
                return replace(whole, digest=file_checksum(path))
            text = path.read_bytes()
            with ignored_warnings():
                tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError):
            return whole
        except (RecursionError, MemoryError):  # nested too deeply for the parser, but perhaps not for an import
            words = dict.fromkeys(re.findall(r"[.\w]+", text.decode("latin-1")))
            return replace(whole, digest=text_checksum(text.decode("latin-1")), words=words)
        return Source(symbols_of(tree, package), tree, is_package=is_package, file=path)


def with_packages(module: str) -> Iterator[str]:
    """Yield the packages around a module, outermost first, then the module itself."""
    return accumulate(module.split("."), "{}.{}".format)


def _holds_memory(tree: ast.Module) -> bool:
    """Return whether the code names something by which it may hold the memory of a table that it returns."""
    found = (getattr(node, "attr", None) or getattr(node, "name", None) or _text(node) for node in ast.walk(tree))
    return any(isinstance(name, str) and _HOLDERS.fullmatch(name) for name in found)


def _text(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None  # for getattr
