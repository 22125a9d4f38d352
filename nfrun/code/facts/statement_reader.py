"""Reads what one statement at the top of a module shows about reuse and timing."""

from __future__ import annotations

import ast
import re

from nfrun.code.bindings import COMPREHENSIONS, parts_of
from nfrun.code.facts import global_state
from nfrun.code.facts.addresses import client_of, hosts_in
from nfrun.code.facts.clocks import time_in_code
from nfrun.code.facts.code_facts import NO_FACTS, CodeFact, CodeFacts
from nfrun.code.facts.names import Names, Scope
from nfrun.core.values import field, mutable, replace

# Methods that change an object of Python's own. `watch/attribution.py` has another list: methods of any object that may
# keep what they are given. What only removes keeps nothing.
_MUTATORS = """append extend insert remove pop clear sort reverse update setdefault popitem add discard
    difference_update intersection_update symmetric_difference_update appendleft extendleft popleft rotate
    subtract move_to_end __setitem__ put put_nowait get_nowait"""
# Functions that change their first argument.
_CHANGERS = re.compile(
    r"next|setattr|delattr|heapq\._?heap\w+|bisect\.insort\w*"
    r"|operator\.(?:setitem|delitem|i(?:add|concat|mul|or|and|sub|xor))"
)
_ONLY_WRITES = "append extend add update insert clear appendleft put"
_VARIABLE = re.compile(r"([\w.]+):(\w+)((?:\.\w+|\[\])*)")
_ON_IMPORT = ("__init_subclass__", "__set_name__")  # run when a class is defined
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_NAMES = (ast.Attribute, ast.Name, ast.Subscript)


@mutable
class Findings:
    """What one statement shows; some lists and mappings are as in `CodeFacts`."""

    global_state: list[CodeFact] = field(default_factory=list)
    warnings: list[CodeFact] = field(default_factory=list)
    network: list[CodeFact] = field(default_factory=list)
    time: CodeFacts = NO_FACTS  # its clocks, draws and local time
    assigned: dict[str, CodeFact] = field(default_factory=dict)
    read: dict[str, CodeFact] = field(default_factory=dict)
    function: str = ""  # the name of the function that this is, such as "steps:load"


class StatementReader:
    """Reads one statement at the top of a module; `shown` is the name of its file."""

    def __init__(self, module: str, package: str, shown: str, names: Names) -> None:
        self._module = module
        self._package = package
        self._shown = shown
        self._names = names
        self.found = Findings()

    def read(self, body: ast.AST) -> None:
        """Collect what the statement shows in `found`."""
        left: list[tuple[ast.AST, Scope, bool]] = [(body, {}, False)]
        while left:
            node, scope, inside = left.pop()
            if isinstance(node, COMPREHENSIONS):
                left += [(part, where, inside) for part, where in _comprehended(node, scope)]
                continue
            if isinstance(node, _SCOPES):
                runs_later = node.body if isinstance(node.body, list) else [node.body]
                own = scope
                if not isinstance(node, ast.ClassDef):
                    own = self._names.scope_in(node, scope, self._module, self._package)
                later = {id(part) for part in runs_later}
                node_name = getattr(node, "name", "")
                for part in reversed(parts_of(node)):
                    is_body = id(part) in later
                    runs_in_nodes = not isinstance(node, ast.ClassDef) and node_name not in _ON_IMPORT
                    left.append((part, own if is_body else scope, is_body and runs_in_nodes))
                continue
            parts = self._part(node, scope, inside)
            left.extend((part, scope, inside) for part in reversed(parts))
        self.found.time = time_in_code(body, self._names, self._module, self._package, self._shown, prints=True)

    def _part(self, node: ast.AST, scope: Scope, inside: bool) -> list[ast.AST]:
        """Take one node. Returns the nodes in it that are left to read."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return []  # a docstring
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
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
        if isinstance(node, _NAMES):
            if isinstance(node.ctx, ast.Load):
                self._use(node, scope, inside, None)
            elif inside:
                self._store(node, scope)
            return _within(node)
        if isinstance(node, ast.AugAssign) and inside:
            read = self._variable(node.target, scope)
            if read:
                self.found.read.setdefault(read, self._fact(read, node))
        return parts_of(node)

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
        if _CHANGERS.fullmatch(name) and node.args and (variable := self._variable(node.args[0], scope)):
            self.found.assigned.setdefault(variable, self._fact(variable, node))

    def _use(self, node: ast.expr, scope: Scope, inside: bool, call: ast.Call | None) -> str:
        """Take the use of a name, and return what it stands for."""
        name = self._names.of(node, self._module, scope)
        if not name:
            return ""
        if client := client_of(name):
            self.found.network.append(replace(self._fact(client, node), is_client=True))
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
        self.found.network += [self._fact(host, node) for host in hosts_in(text)]

    def _fact(self, what: str, node: ast.AST) -> CodeFact:
        return CodeFact(what, f"{self._shown}:{getattr(node, 'lineno', 0)}")


def _comprehended(node: ast.AST, scope: Scope) -> list[tuple[ast.AST, Scope]]:
    """Return the parts of a comprehension, each with its scope: its variables are its own, but for the first input."""
    parts: list[ast.AST] = [part for part in parts_of(node) if not isinstance(part, ast.comprehension)]
    generators = [part for part in parts_of(node) if isinstance(part, ast.comprehension)]
    targets = [each for part in generators for each in ast.walk(part.target) if isinstance(each, ast.Name)]
    own = {**scope, **{target.id: "" for target in targets}}
    for part in generators:
        parts += [part.target, part.iter, *part.ifs]
    return [(part, scope if part is generators[0].iter else own) for part in reversed(parts)]


def _within(node: ast.expr) -> list[ast.AST]:
    """Return the indexes in `a.b[i].c`, and the expression that it starts with unless that is a name."""
    found: list[ast.AST] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript):
            found.append(node.slice)
        node = node.value
    return found if isinstance(node, ast.Name) else [*found, node]
