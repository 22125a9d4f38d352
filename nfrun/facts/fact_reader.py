"""Finds facts about reuse and timing in the code that a function reaches. Reads syntax trees; imports and runs nothing.

Each statement is read once, and only if its text has a word that could lead to a fact.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from nfrun.code.bindings import FUNCTIONS
from nfrun.code.fingerprint import Fingerprints, Piece
from nfrun.facts import global_state
from nfrun.facts.code_facts import CodeFact, CodeFacts
from nfrun.facts.names import Names
from nfrun.facts.statement_reader import CLIENTS, Findings, StatementReader

_HARMLESS = "compile getLogger frozenset Path PurePath namedtuple TypeVar NewType Lock RLock"
_WORDS = rf"global|grpc|psycopg2?|pyodbc|oracledb|connectorx|adbc_\w+|pyarrow|{global_state.WORDS}"


def facts_of(code: Fingerprints) -> FactReader:
    """Return the reader of the facts of this code; there is one."""
    found = code.memo.setdefault("facts", None) or FactReader(code)
    code.memo["facts"] = found
    return found


class FactReader:
    """Reads the facts of functions, and keeps those of each statement."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._names = Names(code)
        self._lines: dict[str, _Lines] = {}
        self._found: dict[int, Findings | None] = {}  # by the id of the definition's body
        self._facts: dict[tuple[str, str], CodeFacts] = {}

    def of(self, module: str, function: str) -> CodeFacts:
        """Return the facts of all project code that the function may reach. The result is cached."""
        start = module, function
        if start not in self._facts:
            found = [self._findings(piece) for piece in self._code.reached(module, function)]
            some = [findings for findings in found if findings is not None]
            self._facts[start] = self._merged(start, some)
        return self._facts[start]

    def _merged(self, start: tuple[str, str], found: Sequence[Findings]) -> CodeFacts:
        def merged(lists: Iterator[list[CodeFact]]) -> Sequence[CodeFact]:
            facts: dict[str, CodeFact] = {}
            for fact in chain(*lists):
                facts.setdefault(fact.what, fact)
            return list(facts.values())

        return CodeFacts(
            global_state=merged(findings.global_state for findings in found),
            warnings=merged(findings.warnings for findings in found),
            network=merged(findings.network for findings in found),
            assigned={name: fact for findings in reversed(found) for name, fact in findings.assigned.items()},
            read_variables=lambda variables: self._reads(start, variables),
        )

    def _reads(self, start: tuple[str, str], variables: Collection[str]) -> Mapping[str, CodeFact]:
        """Return where the code that a function reaches reads some of the variables."""
        found: dict[str, CodeFact] = {}
        for piece in self._code.reached(*start):
            lines = self._lines_of(piece.module)
            if lines.mention(piece.definition.body, {variable.partition(":")[2] for variable in variables}):
                read = self._read(piece).read
                found |= {name: fact for name, fact in read.items() if name in variables and name not in found}
        return found

    def _findings(self, piece: Piece) -> Findings | None:
        key = id(piece.definition.body)
        if key not in self._found:
            has_words = self._lines_of(piece.module).have_words(piece.definition.body)
            self._found[key] = self._read(piece) if has_words else None
        return self._found[key]

    def _read(self, piece: Piece) -> Findings:
        symbols = self._code.symbols_of(piece.module)
        reader = StatementReader(
            piece.module, symbols.package if symbols else "", self._lines_of(piece.module).shown, self._names
        )
        reader.read(piece.definition.body)
        return reader.found

    def _lines_of(self, module: str) -> _Lines:
        if module not in self._lines:
            file = self._code.file_of(module)
            try:
                text = file.read_bytes().decode("utf-8", "replace") if file else ""
            except OSError:
                text = ""
            shown = module
            if file is not None:
                shown = str(
                    file.relative_to(self._code.folder) if file.is_relative_to(self._code.folder) else file.name
                )
            self._lines[module] = _Lines(text, shown, self._words(module))
        return self._lines[module]

    def _words(self, module: str) -> list[str]:
        """Return patterns of the names in a module whose use may be a fact."""
        symbols = self._code.symbols_of(module)
        if symbols is None:
            return []
        found = []
        for star in symbols.star_imports:
            inner = self._code.symbols_of(star.module)
            if star.name == "*":  # of an installed package: its names are unknown
                found += [r"\w+"] if inner is None else self._words(star.module) if star.module != module else []
        for name in {**symbols.imports, **symbols.definitions}:
            meaning = self._names.resolve(module, name)
            bodies = [definition.body for definition in symbols.definitions.get(name, ())]
            if meaning.endswith(":"):
                is_word = True
            elif meaning.startswith(f"{module}:"):
                is_word = not all(isinstance(body, (*FUNCTIONS, ast.Lambda)) or _is_harmless(body) for body in bodies)
            elif ":" in meaning:
                target = self._names.value_of(meaning)
                is_word = target is None or not isinstance(target[1], ast.Constant)
            else:
                is_word = global_state.is_suspect(meaning) or CLIENTS.fullmatch(meaning) is not None
            found += [re.escape(name)] if is_word else []
        return found


class _Lines:
    """The lines of a module that have a word which may lead to a fact. `shown` is the name of its file."""

    def __init__(self, text: str, shown: str, words: Sequence[str]) -> None:
        self._text = text
        self.shown = shown
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._with_words = self._matching(rf"://|\b(?:{'|'.join([_WORDS, *words])})\b")
        self._mentions: dict[str, list[int]] = {}

    def have_words(self, body: ast.AST) -> bool:
        """Return whether a statement has such a word."""
        return _any_within(self._with_words, body)

    def mention(self, body: ast.AST, names: Collection[str]) -> bool:
        """Return whether a statement has one of the names."""
        pattern = rf"\b(?:{'|'.join(sorted(names))})\b"
        if pattern not in self._mentions:
            self._mentions[pattern] = self._matching(pattern)
        return _any_within(self._mentions[pattern], body)

    def _matching(self, pattern: str) -> list[int]:
        found: dict[int, None] = {}
        for match in re.finditer(pattern, self._text):
            found[bisect_left(self._starts, match.start() + 1)] = None
        return list(found)


def _any_within(lines: Sequence[int], body: ast.AST) -> bool:
    first = min([getattr(body, "lineno", 0), *(part.lineno for part in getattr(body, "decorator_list", ()))])
    at = bisect_left(lines, first)
    return at < len(lines) and lines[at] <= (getattr(body, "end_lineno", 0) or 0)


def _is_harmless(body: ast.AST) -> bool:
    """Return whether a definition binds a value that cannot change."""
    value = getattr(body, "value", None)
    if isinstance(value, ast.Call):
        return (getattr(value.func, "attr", "") or getattr(value.func, "id", "")) in _HARMLESS.split()
    return isinstance(value, ast.Constant | ast.UnaryOp | ast.JoinedStr) or (
        isinstance(value, ast.Tuple) and all(isinstance(part, ast.Constant) for part in value.elts)
    )
