"""Finds facts about reuse and timing in the code that a function reaches. Reads syntax trees; imports and runs nothing.

Each statement is read once, and only if its text has a word that could lead to a fact.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Any

from nfrun.code.bindings import FUNCTIONS
from nfrun.code.facts import clocks, global_state
from nfrun.code.facts.addresses import CLIENT_WORDS, client_of
from nfrun.code.facts.code_facts import CodeFact, CodeFacts
from nfrun.code.facts.named_files import with_files
from nfrun.code.facts.names import Names
from nfrun.code.facts.path_terms import PathReader, PathTerms
from nfrun.code.facts.statement_reader import Findings, StatementReader
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.reached_code import Statement
from nfrun.core.pipeline import NOTHING

_HARMLESS = "compile getLogger frozenset Path PurePath namedtuple TypeVar NewType Lock RLock"
_WORDS = rf"global|pyarrow|{CLIENT_WORDS}|{global_state.WORDS}|{clocks.WORDS}"
_SUSPECTS = (global_state.is_suspect, client_of, clocks.is_suspect)

_MANY = 200  # words: then every line counts as having one


def facts_of(code: Fingerprints) -> FactReader:
    """Return the reader of the facts of this code, which is kept with it."""
    if "facts" not in code.memo:
        code.memo["facts"] = FactReader(code)
    reader: FactReader = code.memo["facts"]
    return reader


class FactReader:
    """Reads the facts of functions, and keeps those of each statement."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._names = Names(code)
        self._lines: dict[str, _Lines] = {}
        self._found: dict[int, Findings] = {}  # by the id of the definition's body
        self._groups: dict[int, Sequence[Findings]] = {}  # by the id of a group of statements
        self._users: dict[int, Sequence[Findings]] = {}  # likewise, those that may read `_variables`
        self._variables: frozenset[str] = frozenset()
        self._paths: dict[int, PathTerms] = {}  # by the id of the definition's body
        self._facts: dict[tuple[str, str], CodeFacts] = {}  # without files

    def of(self, module: str, function: str, arguments: Mapping[str, Any] = NOTHING) -> CodeFacts:
        """Return the facts of all project code that the function may reach; `arguments` are the values it is given."""
        start = module, function
        if start not in self._facts:
            found = [findings for group in self._code.reached(*start) for findings in self._findings(group)]
            self._facts[start] = self._merged(start, found)
        paths = [self._paths_in(statement) for group in self._code.reached(*start) for statement in group]
        return with_files(self._facts[start], self._code, paths, ":".join(start), arguments)

    def _paths_in(self, statement: Statement) -> PathTerms:
        key, module = id(statement.definition.body), statement.module
        if key not in self._paths:
            symbols = self._code.symbols_of(module)
            reader = PathReader(
                module, symbols.package if symbols else "", self._lines_of(module).shown, self._names, self._code
            )
            self._paths[key] = reader.read(statement.definition.body)
        return self._paths[key]

    def _merged(self, start: tuple[str, str], found: Sequence[Findings]) -> CodeFacts:
        if not found:
            return CodeFacts(read_variables=lambda variables: self._reads(start, variables))

        def merged(lists: Iterator[Sequence[CodeFact]]) -> Sequence[CodeFact]:
            facts: dict[str, CodeFact] = {}
            for fact in chain(*lists):
                facts.setdefault(fact.what, fact)
            return list(facts.values())

        return CodeFacts(
            global_state=merged(findings.global_state for findings in found),
            warnings=merged(findings.warnings for findings in found),
            network=merged(findings.network for findings in found),
            clocks=merged(findings.time.clocks for findings in found),
            draws=merged(findings.time.draws for findings in found),
            local_time=merged(findings.time.local_time for findings in found),
            assigned=self._assigned(start),
            read_variables=lambda variables: self._reads(start, variables),
        )

    def _assigned(self, start: tuple[str, str]) -> Mapping[str, CodeFact]:
        """Return the variables that the function assigns, itself or by what it reaches by name.

        What only decorators assign at the top of modules is the same in all nodes.
        """
        reached = self._code.reached_by_name(*start)
        found = [findings for group in reached for findings in self._findings(group) if findings.assigned]
        on_import = {findings.function for findings in found if findings.function} - {":".join(start)}
        for group in reached if on_import else ():
            on_import -= self._used_inside(group, on_import)
        return {
            name: fact
            for findings in reversed(found)
            if findings.function not in on_import
            for name, fact in findings.assigned.items()
        }

    def _used_inside(self, group: Sequence[Statement], functions: Set[str]) -> set[str]:
        """Return the functions that these statements of a module use, but for use as decorators."""
        module, used = group[0].module, set[str]()
        symbols = self._code.symbols_of(module)
        imported = {name: self._names.resolve(module, name) for name in (symbols.imports if symbols else ())}
        for function in functions:
            own = function.partition(":")[2]
            names = sorted({own, *(name for name, meaning in imported.items() if meaning == function)})
            mentions = self._lines_of(module).mentions(names)
            bodies = [statement.definition.body for statement in group]
            others = (body for body in bodies if f"{module}:{getattr(body, 'name', '')}" != function)
            if any(_any_within(mentions, body, decorators=False) for body in others if not _is_import(body)):
                used.add(function)
        return used

    def _reads(self, start: tuple[str, str], variables: Set[str]) -> Mapping[str, CodeFact]:
        """Return where the code that a function reaches reads some of the variables."""
        if self._variables != variables:
            self._variables = frozenset(variables)
            self._users.clear()
        found: dict[str, CodeFact] = {}
        for group in self._code.reached_by_name(*start):
            for findings in self._users_in(group):
                for variable in variables & findings.read.keys():
                    found.setdefault(variable, findings.read[variable])
        return found

    def _users_in(self, group: Sequence[Statement]) -> Sequence[Findings]:
        """Return the statements of a group that may read one of the variables."""
        if id(group) not in self._users:
            names = sorted({variable.partition(":")[2] for variable in self._variables})
            mentions = self._lines_of(group[0].module).mentions(names)
            statements = [statement for statement in group if _any_within(mentions, statement.definition.body)]
            self._users[id(group)] = [self._read(statement) for statement in statements]
        return self._users[id(group)]

    def _findings(self, group: Sequence[Statement]) -> Sequence[Findings]:
        """Read the statements of a group that have a word which could lead to a fact, and return their findings."""
        if id(group) not in self._groups:
            words = self._lines_of(group[0].module).with_words
            self._groups[id(group)] = [
                self._read(statement) for statement in group if _any_within(words, statement.definition.body)
            ]
        return self._groups[id(group)]

    def _read(self, statement: Statement) -> Findings:
        key = id(statement.definition.body)
        if key not in self._found:
            symbols = self._code.symbols_of(statement.module)
            shown = self._lines_of(statement.module).shown
            reader = StatementReader(statement.module, symbols.package if symbols else "", shown, self._names)
            reader.read(statement.definition.body)
            if isinstance(statement.definition.body, FUNCTIONS):
                reader.found.function = f"{statement.module}:{statement.definition.body.name}"
            self._found[key] = reader.found
        return self._found[key]

    def _lines_of(self, module: str) -> _Lines:
        if module not in self._lines:
            file = self._code.file_of(module)
            try:
                text = file.read_bytes().decode("utf-8", "replace") if file else ""
            except OSError:
                text = ""
            shown = module
            if file is not None:
                base = self._code.base
                shown = str(file.relative_to(base) if file.is_relative_to(base) else file.name)
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
                is_word = any(is_suspect(meaning) for is_suspect in _SUSPECTS)
            found += [re.escape(name)] if is_word else []
        return found


class _Lines:
    """The lines of a module that have a word which may lead to a fact. `shown` is the name of its file."""

    def __init__(self, text: str, shown: str, words: Sequence[str]) -> None:
        self._text = text
        self.shown = shown
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._words = set(re.findall(r"\w+", text))
        self.with_words = self._lines_with(f"{'|'.join([_WORDS, *words])}", "://")
        self._mentions: dict[str, Sequence[int]] = {}

    def mentions(self, names: Sequence[str]) -> Sequence[int]:
        """Return the lines that have one of the names."""
        pattern = "|".join(names)
        if pattern not in self._mentions:
            self._mentions[pattern] = self._lines_with(pattern)
        return self._mentions[pattern]

    def _lines_with(self, pattern: str, *others: str) -> Sequence[int]:
        """Return the sorted lines with a word that matches the pattern, or with one of the other texts."""
        # Not one search for all words: it takes ten times as long as a search for each word that is there.
        words = [*filter(re.compile(pattern).fullmatch, self._words), *others]
        if len(words) > _MANY:
            return range(len(self._starts) + 1)
        starts = [match.start() for word in words for match in re.finditer(word, self._text)]
        return sorted({bisect_left(self._starts, start + 1) for start in starts})


def _is_import(body: ast.AST) -> bool:
    return isinstance(body, ast.Import | ast.ImportFrom)


def _any_within(lines: Sequence[int], body: ast.AST, *, decorators: bool = True) -> bool:
    parts = getattr(body, "decorator_list", ()) if decorators else ()
    first = min([getattr(body, "lineno", 0), *(part.lineno for part in parts)])
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
