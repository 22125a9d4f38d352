"""Resolves names in the modules of a project to what they stand for, under whatever alias. Runs nothing.

What a name stands for is a text: "numpy.random.shuffle" for a name of an installed package or a builtin ("open"),
"steps:CACHE.get" for a name at the top of a project's module, "helpers:" for a module of the project, and
"random.Random()" for what a call of it returns.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from nfrun.code.bindings import Function, Imported, argument_names, binds, body_of, scope
from nfrun.code.fingerprint import Fingerprints

Scope: TypeAlias = Mapping[str, str]  # what local names stand for; "" if that is unknown

_LONGEST = 20  # steps from one alias to the next, which may go in circles


def pattern_of(names: Mapping[str, str]) -> str:
    """Return a regular expression for names as `Names.of` returns them, from patterns by module, separated by blanks.

    The names in the module "" are methods of objects that are not known (".read"), and those in "*" are in any module.
    """
    starts = {"": r"\.", "*": r".*\.", "builtins": r"(?:builtins\.)?"}
    parts = (
        rf"{starts.get(module) or re.escape(module) + '[.]'}(?:{'|'.join(words.split())})"
        for module, words in names.items()
    )
    return "|".join(parts)


class Names:
    """Resolves dotted names, and keeps what it has found."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._found: dict[tuple[str, str], str] = {}

    def scope_in(self, function: Function, outer: Scope, module: str, package: str) -> Scope:
        """Return what the names inside of a function stand for: those of `outer` and its own."""
        own = dict.fromkeys(argument_names(function), "")
        values: dict[str, list[ast.expr | None]] = {}
        is_global: set[str] = set()
        for node in scope(body_of(function)):
            if isinstance(node, ast.Global):
                is_global.update(node.names)
            own.update((name, self.imported(imported) if imported else "") for name, imported in binds(node, package))
            for name, value in _bound_values(node):
                values.setdefault(name, []).append(value)
        inside = {name: meaning for name, meaning in {**outer, **own}.items() if name not in is_global}
        for name, bound in values.items():
            if len(bound) == 1 and bound[0] is not None and inside.get(name) == "":
                inside[name] = self.of(bound[0], module, inside)
        return inside

    def of(self, expression: ast.AST, module: str, local: Scope) -> str:
        """Return what a name, its attributes or a call stand for in a module; "" if that is unknown."""
        rest = ""
        while True:
            if isinstance(expression, ast.Attribute):
                rest = f".{expression.attr}{rest}"
                expression = expression.value
            elif isinstance(expression, ast.Call):
                rest = f"(){rest}"
                expression = expression.func
            elif isinstance(expression, ast.Subscript):
                rest = f"[]{rest}"
                expression = expression.value
            elif isinstance(expression, ast.Name):
                head = expression.id
                if head in local:
                    return _joined(local[head], rest)
                return self.resolve(module, f"{head}{rest}")
            else:
                return ""

    def resolve(self, module: str, path: str) -> str:
        """Return what a name at the top of a module stands for, with the attributes and calls after it."""
        key = module, path
        if key not in self._found:
            self._found[key] = self._resolve(module, path, _LONGEST)
        return self._found[key]

    def value_of(self, name: str) -> tuple[str, ast.expr] | None:
        """Return the module and the value of a variable such as "steps:CACHE", None if it is bound more than once."""
        module, _, variable = name.partition(":")
        symbols = self._code.source.symbols_of(module) if variable else None
        definitions = symbols.definitions.get(variable, ()) if symbols is not None else ()
        if len(definitions) != 1:
            return None
        value = getattr(definitions[0].body, "value", None)
        return (module, value) if value is not None and _is_lone_target(definitions[0].body) else None

    def imported(self, imported: Imported) -> str:
        """Return the object that a name stands for, if an import binds it."""
        return self._imported(imported, "", _LONGEST)

    def _resolve(self, module: str, path: str, steps: int) -> str:
        head, rest = _split(path)
        symbols = self._code.source.symbols_of(module)
        if symbols is None or not steps:
            return ""
        definitions = symbols.definitions.get(head, ())
        for imported, _ in reversed(symbols.imports.get(head, ())):
            found = self._imported(imported, rest, steps - 1)
            if ":" not in found or not definitions:
                return found
        if definitions:
            value = definitions[0].body
            if len(definitions) == 1 and _is_lone_target(value) and isinstance(value, ast.Assign | ast.AnnAssign):
                alias = value.value
                tail = ""
                while isinstance(alias, ast.Attribute):
                    tail, alias = f".{alias.attr}{tail}", alias.value
                if isinstance(alias, ast.Name) and alias.id != head:
                    return self._resolve(module, f"{alias.id}{tail}{rest}", steps - 1) or f"{module}:{path}"
            return f"{module}:{path}"
        for star in symbols.star_imports:
            other = self._code.source.symbols_of(star.module)
            if other is None and star.name == "*" and not hasattr(builtins, head):
                return f"{star.module}.{path}"
            found = self._resolve(star.module, path, steps - 1) if other is not None else ""
            if found not in ("", path):
                return found
        return path if hasattr(builtins, head) else ""

    def _imported(self, imported: Imported, rest: str, steps: int) -> str:
        if imported.name:
            module, path = imported.module, f"{imported.name}{rest}"
        elif imported.first:
            module, path = imported.module.partition(".")[0], rest.removeprefix(".")
        else:
            module, path = imported.module, rest.removeprefix(".")
        if self._code.source.symbols_of(module) is None:
            return _joined(module, f".{path}" if path and path[0] not in "([" else path)
        while path:  # down into packages
            head, rest = _split(path)
            symbols = self._code.source.symbols_of(module)
            if symbols is not None and head in symbols.definitions:
                break
            if self._code.source.symbols_of(f"{module}.{head}") is None:
                break
            module, path = f"{module}.{head}", rest.removeprefix(".")
        return (self._resolve(module, path, steps) or f"{module}:{path}") if path else f"{module}:"


def _bound_values(node: ast.AST) -> Iterable[tuple[str, ast.expr | None]]:
    """Yield the names that a statement binds, each with its value, None if no expression has that value."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, None
    elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars.id, node.context_expr


def _is_lone_target(statement: ast.AST) -> bool:
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return len(targets) == 1 and isinstance(targets[0], ast.Name)


def _split(path: str) -> tuple[str, str]:
    """Return the first name of a path, and what follows: "a" and ".b().c"."""
    for at, character in enumerate(path):
        if character in ".([":
            return path[:at], path[at:]
    return path, ""


def _joined(start: str, rest: str) -> str:
    if not start:
        return ""
    return f"{start}{rest.removeprefix('.')}" if start.endswith(":") else f"{start}{rest}"
