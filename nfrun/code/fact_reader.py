"""Finds facts about reuse and timing in the code that a function reaches. Reads syntax trees; imports and runs nothing.

Each statement is read once, and only if its text has a word that could lead to a fact.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from nfrun.code import global_state
from nfrun.code.code_facts import CodeFact, CodeFacts
from nfrun.code.names import Code, Names, Piece, Scope, inner_scope

# Packages that connect without Python's sockets, so that nobody sees it.
_CLIENTS = re.compile(
    r"(grpc|psycopg|psycopg2|pyodbc|oracledb|connectorx|adbc_\w+)(\..*)?"
    r"|(pyarrow\.fs\.(?:S3|Gcs|Hadoop|AzureFile)\w+)(\..*)?"
)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*|\}|%s|\0)://(?:[^\s/?#'\"\0]*@)?([^\s/?#'\"\0@{}%,;()<>]*)")
_MUTATORS = """append extend insert remove pop clear sort reverse update setdefault popitem add discard
    difference_update intersection_update symmetric_difference_update appendleft extendleft popleft rotate
    subtract move_to_end __setitem__ put put_nowait get_nowait"""
_ONLY_WRITES = "append extend add update insert clear appendleft put"
_HARMLESS = "compile getLogger frozenset Path PurePath namedtuple TypeVar NewType Lock RLock"
_WORDS = rf"global|grpc|psycopg2?|pyodbc|oracledb|connectorx|adbc_\w+|pyarrow|{global_state.WORDS}"
_VARIABLE = re.compile(r"([\w.]+):(\w+)((?:\.\w+|\[\])*)")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass
class _Findings:
    """What one statement shows; each list and mapping as in `CodeFacts`."""

    global_state: list[CodeFact] = field(default_factory=list)
    warnings: list[CodeFact] = field(default_factory=list)
    network: list[CodeFact] = field(default_factory=list)
    assigned: dict[str, CodeFact] = field(default_factory=dict)
    read: dict[str, CodeFact] = field(default_factory=dict)


class FactReader:
    """Reads the facts of functions, and keeps those of each statement. `folder` is the pipeline's."""

    def __init__(self, code: Code, folder: Path) -> None:
        self._code = code
        self._folder = folder
        self._names = Names(code)
        self._lines: dict[str, _Lines] = {}
        self._found: dict[int, _Findings | None] = {}  # by the id of the definition's body
        self._facts: dict[tuple[str, str], CodeFacts] = {}

    def of(self, module: str, function: str) -> CodeFacts:
        """Return the facts of all project code that the function may reach. The result is cached."""
        start = module, function
        if start not in self._facts:
            found = [self._findings(piece) for piece in self._code.reached(module, function)]
            some = [findings for findings in found if findings is not None]
            self._facts[start] = self._merged(start, some)
        return self._facts[start]

    def _merged(self, start: tuple[str, str], found: Sequence[_Findings]) -> CodeFacts:
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

    def _findings(self, piece: Piece) -> _Findings | None:
        key = id(piece.definition.body)
        if key not in self._found:
            has_words = self._lines_of(piece.module).have_words(piece.definition.body)
            self._found[key] = self._read(piece) if has_words else None
        return self._found[key]

    def _read(self, piece: Piece) -> _Findings:
        symbols = self._code.symbols_of(piece.module)
        reader = _StatementReader(
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
                shown = str(file.relative_to(self._folder) if file.is_relative_to(self._folder) else file.name)
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
                is_word = not all(isinstance(body, _FUNCTIONS) or _is_harmless(body) for body in bodies)
            elif ":" in meaning:
                target = self._names.value_of(meaning)
                is_word = target is None or not isinstance(target[1], ast.Constant)
            else:
                is_word = global_state.is_suspect(meaning) or _CLIENTS.fullmatch(meaning) is not None
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


class _StatementReader:
    """Reads one statement at the top of a module; `shown` is the name of its file."""

    def __init__(self, module: str, package: str, shown: str, names: Names) -> None:
        self._module = module
        self._package = package
        self._shown = shown
        self._names = names
        self.found = _Findings()

    def read(self, body: ast.AST) -> None:
        """Collect what the statement shows in `found`."""
        left: list[tuple[ast.AST, Scope, bool]] = [(body, {}, False)]
        while left:
            node, scope, inside = left.pop()
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                runs_later = node.body if isinstance(node.body, list) else [node.body]
                own = inner_scope(node, scope, self._module, self._names, self._package)
                later = {id(part) for part in runs_later}
                for part in reversed(list(ast.iter_child_nodes(node))):
                    is_body = id(part) in later
                    left.append((part, own if is_body else scope, is_body and not isinstance(node, ast.ClassDef)))
                continue
            parts = self._part(node, scope, inside)
            left.extend((part, scope, inside) for part in reversed(parts))

    def _part(self, node: ast.AST, scope: Scope, inside: bool) -> list[ast.AST]:
        """Take one node. Returns the nodes in it that are left to read."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return []  # a docstring
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and "://" in node.value:
                self._text(node.value, node)
            return []
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
            self._text("".join(map(str, parts)), node)
            return [part for part in node.values if not isinstance(part, ast.Constant)]
        if isinstance(node, ast.Call):
            self._call(node, scope, inside)
            keywords = [keyword.value for keyword in node.keywords]
            return [*_within(node.func), *node.args, *keywords]
        if isinstance(node, ast.Attribute | ast.Name | ast.Subscript):
            if isinstance(node.ctx, ast.Load):
                self._use(node, scope, inside, None)
            elif inside:
                self._store(node, scope)
            return _within(node)
        if isinstance(node, ast.AugAssign) and inside:
            read = self._variable(node.target, scope)
            if read:
                self.found.read.setdefault(read, self._fact(read, node))
        return list(ast.iter_child_nodes(node))

    def _call(self, node: ast.Call, scope: Scope, inside: bool) -> None:
        name = self._use(node.func, scope, inside, node)
        if not inside:
            return
        if isinstance(node.func, ast.Attribute):
            receiver = self._names.of(node.func.value, self._module, scope)
            is_own = ":" in name and "()" not in name and "[]" not in name
            variable = self._variable(node.func.value, scope)
            value = self._names.value_of(variable) if variable else None
            meaning = self._names.of(value[1], value[0], {}) if value else ""
            if (variable or not is_own) and global_state.unseeded_sample(node, meaning or receiver):
                self.found.global_state.append(self._fact(".sample", node))
            if variable and (
                (node.func.attr in _MUTATORS.split() and not meaning.endswith("getLogger()"))
                or global_state.is_generator(meaning)
            ):
                self.found.assigned.setdefault(variable, self._fact(variable, node))
        elif name == "next" and node.args and (variable := self._variable(node.args[0], scope)):
            self.found.assigned.setdefault(variable, self._fact(variable, node))

    def _use(self, node: ast.expr, scope: Scope, inside: bool, call: ast.Call | None) -> str:
        """Take the use of a name, and return what it stands for."""
        name = self._names.of(node, self._module, scope)
        if not name:
            return ""
        client = _CLIENTS.fullmatch(name)
        if client:
            self.found.network.append(replace(self._fact(client[1] or client[3], node), is_client=True))
        if inside:
            if used := global_state.used_state(name, call):
                self.found.global_state.append(self._fact(used, node))
            elif used := global_state.warned_use(name):
                self.found.warnings.append(self._fact(used, node))
            is_written = call is not None and getattr(node, "attr", "") in _ONLY_WRITES.split()
            if not is_written and (variable := self._variable(node, scope)):
                self.found.read.setdefault(variable, self._fact(variable, node))
        return name

    def _store(self, node: ast.Attribute | ast.Name | ast.Subscript, scope: Scope) -> None:
        """Take an assignment to a name, an attribute or an item, or its removal."""
        if isinstance(node, ast.Name):
            if node.id not in scope:  # declared as global
                name = f"{self._module}:{node.id}"
                self.found.assigned.setdefault(name, self._fact(name, node))
            return
        if self._names.of(node, self._module, scope) in ("os.environ", "os.environ[]"):
            self.found.global_state.append(self._fact("os.environ", node))
        elif variable := self._variable(node, scope):
            self.found.assigned.setdefault(variable, self._fact(variable, node))

    def _variable(self, node: ast.expr, scope: Scope) -> str:
        """Return the variable of a project's module that the expression is in, such as "steps:CACHE", "" if none."""
        found = _VARIABLE.fullmatch(self._names.of(node, self._module, scope))
        return f"{found[1]}:{found[2]}" if found else ""

    def _text(self, text: str, node: ast.AST) -> None:
        for match in _URL.finditer(text):
            if match[1].lower() != "file":
                self.found.network.append(self._fact(match[2] or f"{match[1]}://".lstrip("\0}%s"), node))

    def _fact(self, what: str, node: ast.AST) -> CodeFact:
        return CodeFact(what, f"{self._shown}:{getattr(node, 'lineno', 0)}")


def _within(node: ast.expr) -> list[ast.AST]:
    """Return what is left to read of a name with its attributes and items: indexes, and the expression at its start."""
    found: list[ast.AST] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript):
            found.append(node.slice)
        node = node.value
    return found if isinstance(node, ast.Name) else [*found, node]


def _is_harmless(body: ast.AST) -> bool:
    """Return whether a definition binds a value that cannot change."""
    value = getattr(body, "value", None)
    if isinstance(value, ast.Call):
        return (getattr(value.func, "attr", "") or getattr(value.func, "id", "")) in _HARMLESS.split()
    return isinstance(value, ast.Constant | ast.UnaryOp | ast.JoinedStr) or (
        isinstance(value, ast.Tuple) and all(isinstance(part, ast.Constant) for part in value.elts)
    )
