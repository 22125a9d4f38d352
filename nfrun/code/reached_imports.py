"""Finds imports of modules that are not installed in all code that nodes reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nfrun.code.bindings import FUNCTIONS, always_imported
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.missing_imports import finds_modules_itself, shown_file
from nfrun.code.module_finder import find_module
from nfrun.code.reached_code import Statement


class MissingImports:
    """Finds the missing imports of code that nodes reach."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._found: dict[int, Sequence[tuple[str, str]] | None] = {}  # by the id of a group
        self._finds_itself: dict[str, bool] = {}  # by module of the project
        self._missing: dict[str, bool] = {}  # by package

    def of(self, groups: Iterable[Sequence[Statement]]) -> Sequence[tuple[str, str]]:
        """Return the names of the missing modules, with `file:line`. The groups are those of `Fingerprints.reached`."""
        found: list[tuple[str, str]] = []
        for group in groups:
            if id(group) not in self._found:
                self._found[id(group)] = self._of_group(group)
            inside = self._found[id(group)]
            if inside is None:
                return []
            found += inside
        return found

    def _of_group(self, group: Sequence[Statement]) -> Sequence[tuple[str, str]] | None:
        """Return the missing imports of these statements of a module; None if it may change how modules are found."""
        module = group[0].module
        file, symbols = self._code.file_of(module), self._code.symbols_of(module)
        if file is None or symbols is None:
            return []
        if module not in self._finds_itself:
            try:
                self._finds_itself[module] = finds_modules_itself(file.read_bytes().decode("utf-8", "replace"))
            except OSError:
                self._finds_itself[module] = True
        if self._finds_itself[module]:
            return None
        at_top = (line for bound in symbols.imports.values() for _, line in bound)
        parts = [*at_top, *(statement.definition for statement in group)]
        always = [part.body for part in parts if not part.where.partition("#")[0]]  # not in a branch
        always = [inner for body in always for inner in (body.body if isinstance(body, FUNCTIONS) else [body])]
        shown = shown_file(file, self._code.base)
        tops = dict.fromkeys((name.partition(".")[0], line) for name, line in always_imported(always, symbols.package))
        return [(top, f"{shown}:{line}") for top, line in tops if self._is_missing(top)]

    def _is_missing(self, name: str) -> bool:
        if name not in self._missing:
            self._missing[name] = bool(name) and find_module(name, self._code.folder) is None
        return self._missing[name]
