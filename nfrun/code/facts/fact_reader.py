"""Finds facts about reuse and timing in the code that a function reaches. Imports and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.code.facts.code_facts import CodeFact, CodeFacts
from nfrun.code.facts.named_files import NodeFiles
from nfrun.code.facts.names import Names
from nfrun.code.facts.path_terms import Findings
from nfrun.code.facts.statement_reader import StatementReader
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.reached_code import Statement
from nfrun.core.pipeline import NOTHING


class FactReader:
    """Reads the facts of functions. Each statement is read once."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._names = Names(code)
        self._found: dict[int, Findings] = {}  # by the id of the definition's body
        self._groups: dict[int, Sequence[Findings]] = {}  # by the id of a group of statements
        self._shown: dict[str, str] = {}  # names of files by module
        self._facts: dict[tuple[str, str], CodeFacts] = {}  # without files

    def of(self, module: str, function: str, arguments: Mapping[str, Any] = NOTHING) -> CodeFacts:
        """Return the facts of all project code that the function may reach; `arguments` are the values it is given."""
        start = module, function
        found = self._findings(self._code.source.statements(*start))
        if start not in self._facts:
            self._facts[start] = self._merged(start, found)
        return NodeFiles(self._code, found, ":".join(start), arguments).added_to(self._facts[start])

    def _merged(self, start: tuple[str, str], found: Sequence[Findings]) -> CodeFacts:
        by_name = self._findings(self._code.source.statements(*start, by_name=True))
        times = [findings.time for findings in found]
        return CodeFacts(
            global_state=_unique(findings.global_state for findings in found),
            network=_unique(findings.network for findings in found),
            clocks=_unique(time.clocks for time in times),
            draws=_unique(time.draws for time in times),
            local_time=_unique(time.local_time for time in times),
            assigned=_assigned(":".join(start), by_name),
            read=_unique([*findings.read.values()] for findings in by_name),
        )

    def _findings(self, groups: Iterable[Sequence[Statement]]) -> Sequence[Findings]:
        """Return the findings of the statements of some modules."""
        found: list[Findings] = []
        for group in groups:
            if id(group) not in self._groups:
                self._groups[id(group)] = [self._read(statement) for statement in group]
            found += self._groups[id(group)]
        return found

    def _read(self, statement: Statement) -> Findings:
        body, module = statement.definition.body, statement.module
        if id(body) not in self._found:
            symbols = self._code.source.symbols_of(module)
            package = symbols.package if symbols else ""
            reader = StatementReader(module, package, self._shown_file(module), self._names, self._code)
            self._found[id(body)] = reader.read(body)
        return self._found[id(body)]

    def _shown_file(self, module: str) -> str:
        if module not in self._shown:
            file, base = self._code.source.file_of(module), self._code.base
            shown = module if file is None else file.name
            self._shown[module] = str(file.relative_to(base)) if file and file.is_relative_to(base) else shown
        return self._shown[module]


def _unique(lists: Iterator[Sequence[CodeFact]]) -> Sequence[CodeFact]:
    """Return the first fact about each thing."""
    facts: dict[str, CodeFact] = {}
    for fact in (fact for each in lists for fact in each):
        facts.setdefault(fact.what, fact)
    return list(facts.values())


def _assigned(start: str, found: Sequence[Findings]) -> Sequence[CodeFact]:
    """Return the variables that a function assigns. `found` is what statements show that it reaches by name.

    What only decorators assign at the top of modules is the same in all nodes.
    """
    used = {name for findings in found for name in findings.used if name != findings.function}
    on_import = {name for findings in found for name in findings.decorating} - used - {start}
    return _unique([*each.assigned.values()] for each in found if each.function not in on_import)
